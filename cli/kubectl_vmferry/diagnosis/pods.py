"""Whether vmferry's Pods, where it runs in any, are ready."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from kubectl_vmferry.diagnosis.findings import Finding, error, note, ok, warning
from kubectl_vmferry.views.figures import span

SELECTOR = "app.kubernetes.io/name=vmferry"
"""What the manifests' Pods have in common."""
_SUBJECT = "pods"
_STARTS = timedelta(seconds=30)
"""So long a Pod may take to become ready."""

Pod = Mapping[str, Any]


def pods(found: Sequence[Pod], now: datetime) -> Iterator[Finding]:
    """Those that are not ready, with what scheduler or kubelet say of it; nothing where there are no Pods.

    An agent's is an error, since nobody else serves its node; an operator's may have another one beside it.
    """
    current = [each for each in found if not _is_over(each)]
    late = [each for each in current if _condition(each, "Ready").get("status") != "True"]
    for each in late:
        yield _finding(each, now)
    if current and not late:
        yield ok(_SUBJECT, f"{len(current)}, all ready")


def agents_by_node(found: Sequence[Pod]) -> Mapping[str, Pod]:
    """The agents' Pods that have a node and are not over."""
    return {
        each["spec"]["nodeName"]: each
        for each in found
        if _is_agent(each) and not _is_over(each) and each["spec"].get("nodeName")
    }


def _finding(pod: Pod, now: datetime) -> Finding:
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    node, why, lasts = pod["spec"].get("nodeName"), _why(pod), now - _since(pod)
    where = f" on {node}" if node else ""
    message = f"{name}{where} is not ready for {span(lasts)}{f': {why}' if why else ''}"
    if lasts < _STARTS and not why:
        return note(_SUBJECT, message)
    cure = f"kubectl {'describe pod' if why else 'logs'} -n {namespace} {name}"
    return (error if _is_agent(pod) else warning)(_SUBJECT, message, cure)


def _is_agent(pod: Pod) -> bool:
    component: str | None = pod["metadata"]["labels"].get("app.kubernetes.io/component")
    return component == "agent"


def _is_over(pod: Pod) -> bool:
    """It ends or has ended, and another one is in its place."""
    return "deletionTimestamp" in pod["metadata"] or pod["status"].get("phase") in ("Succeeded", "Failed")


def _since(pod: Pod) -> datetime:
    changed = _condition(pod, "Ready").get("lastTransitionTime") or pod["metadata"]["creationTimestamp"]
    return datetime.fromisoformat(changed)


def _why(pod: Pod) -> str:
    """Why it does not run, in the words of scheduler or kubelet; empty: it runs, and its log tells."""
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return _words(scheduled)
    for container in pod["status"].get("containerStatuses", ()):
        if waiting := container["state"].get("waiting"):
            return _words(waiting)
    return ""


def _words(said: Mapping[str, str]) -> str:
    return ": ".join(filter(None, (said.get("reason"), said.get("message"))))


def _condition(pod: Pod, kind: str) -> Mapping[str, str]:
    return next((each for each in pod["status"].get("conditions", ()) if each["type"] == kind), {})
