"""The pre-flight check: everything that an agent needs, looked at once before it is needed."""

import asyncio
import logging
from collections.abc import Callable
from itertools import islice

from kubernetes.aio.client import (
    ApiClient,
    ApiException,
    AuthorizationV1Api,
    CustomObjectsApi,
    V1ResourceAttributes,
    V1SelfSubjectAccessReview,
    V1SelfSubjectAccessReviewSpec,
)

from vmferry_agent.configuration import CheckConfiguration
from vmferry_agent.decisions.preflight import (
    Finding,
    Level,
    api_refused,
    api_unreachable,
    hangs,
    reached,
    rights,
)
from vmferry_agent.hypervisor.calls import in_thread
from vmferry_agent.hypervisor.libvirt_preflight import look_at_daemon, look_where_it_leads
from vmferry_agent.hypervisor.libvirt_sockets import look_at_sockets
from vmferry_api import GROUP, VERSION
from vmferry_kube.backoff import Backoff
from vmferry_kube.clients import REQUEST_TIMEOUT, connect
from vmferry_kube.errors import UnavailableError, asking

_logger = logging.getLogger(__name__)

DEADLINE = 15.0
"""Seconds for libvirt; on a fresh host it asks QEMU for all that it can do first."""
_MIGRATIONS = (("get", ""), ("list", ""), ("watch", ""), ("patch", "status"))
_BUSY = 429
_TRIES = 3
_LEASES = ("get", "create", "update")
_LEVELS = {Level.OK: logging.INFO, Level.WARNING: logging.WARNING, Level.ERROR: logging.ERROR}


async def check(configuration: CheckConfiguration) -> list[Finding]:
    """Look at everything."""
    several = await asyncio.gather(
        check_libvirt(configuration), check_connect_uri(configuration), check_api_server(configuration)
    )
    return [finding for findings in several for finding in findings]


async def log_libvirt(configuration: CheckConfiguration) -> None:
    """Say once in the log what is to be said of this host's libvirt; its first answer takes seconds, too."""
    for finding in await check_libvirt(configuration):
        _logger.log(_LEVELS[finding.level], "%s", finding)


async def check_libvirt(configuration: CheckConfiguration, *, deadline: float = DEADLINE) -> list[Finding]:
    """Look at this host's daemon."""
    uri = configuration.libvirt_uri
    found = await _within(deadline, lambda: look_at_daemon(uri), [hangs(uri, deadline)])
    return [*found, *await _within(deadline, lambda: look_at_sockets(uri), [])]


async def check_connect_uri(
    configuration: CheckConfiguration, *, deadline: float = DEADLINE
) -> list[Finding]:
    """Look where other hosts are led, where that is known."""
    uri, own = configuration.connect_uri, configuration.libvirt_uri
    if uri is None:
        return []
    late = reached(uri, own="", found=None, trouble=f"no answer for {deadline:g} s")
    return await _within(deadline, lambda: look_where_it_leads(uri, own), [late])


async def check_api_server(configuration: CheckConfiguration) -> list[Finding]:
    """Look whether the API server can be reached, and what it lets the agent do."""
    try:
        async with connect() as client:
            return await _api_server(client, configuration)
    except UnavailableError as error:
        return [api_unreachable(str(error))]
    except ApiException as error:
        return [api_refused(f"{error.status} {error.reason}")]
    except Exception as error:  # noqa: BLE001 - a kubeconfig can be wrong in many ways
        return [api_unreachable(f"no credentials for the API server: {' '.join(str(error).split())}")]


async def _within(deadline: float, look: Callable[[], list[Finding]], late: list[Finding]) -> list[Finding]:
    try:
        return await in_thread(look, deadline=deadline)
    except TimeoutError:
        return late


async def _api_server(client: ApiClient, configuration: CheckConfiguration) -> list[Finding]:
    missing = [
        f"{verb} vmmigrations{'/' if subresource else ''}{subresource}"
        for verb, subresource in _MIGRATIONS
        if not await _may(client, verb=verb, group=GROUP, resource="vmmigrations", subresource=subresource)
    ]
    lease = [
        await _may(
            client,
            verb=verb,
            group="coordination.k8s.io",
            resource="leases",
            namespace=configuration.namespace,
            name=None if verb == "create" else f"vmferry-agent-{configuration.node}",
        )
        for verb in _LEASES
    ]
    found = rights(missing, lease=all(lease))
    if not missing:
        await _list_one(client, configuration.node)  # the rights say nothing of whether the kind is there
    return found


async def _may(client: ApiClient, **attributes: str | None) -> bool:
    spec = V1SelfSubjectAccessReviewSpec(resource_attributes=V1ResourceAttributes(**attributes))
    with asking():
        review = await AuthorizationV1Api(client).create_self_subject_access_review(
            V1SelfSubjectAccessReview(spec=spec), _request_timeout=REQUEST_TIMEOUT
        )
    return bool(review.status.allowed)


async def _list_one(client: ApiClient, node: str) -> None:
    """Look whether there are migrations at all; an API server that has just started asks for patience."""
    for delay in islice(Backoff(first=1, most=4), _TRIES):
        try:
            await _list(client, node)
        except ApiException as error:
            if error.status != _BUSY:
                raise
            await asyncio.sleep(delay)
        else:
            return
    await _list(client, node)


async def _list(client: ApiClient, node: str) -> None:
    with asking():
        await CustomObjectsApi(client).list_cluster_custom_object(
            GROUP,
            VERSION,
            "vmmigrations",
            field_selector=f"spec.sourceNode={node}",
            limit=1,
            _request_timeout=REQUEST_TIMEOUT,
        )
