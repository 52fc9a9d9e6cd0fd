"""What a policy would do to a guest of the model."""

from datetime import timedelta

from kubectl_vmferry.simulation.attempt import Start
from kubectl_vmferry.simulation.guests import Guest
from kubectl_vmferry.simulation.pre_copy import QEMU_DOWNTIME, ModelJob
from kubectl_vmferry.simulation.simulate import Setting
from kubectl_vmferry.simulation.vms import simulated_vm
from vmferry_agent.decisions.changes import bandwidth
from vmferry_api.policies import Encryption, MigrationPolicySpec
from vmferry_api.quantities import format_quantity
from vmferry_operator.decisions.parameters import total_timeout, total_within


def prediction_setting(guest: Guest, *, link: float, until: float) -> Setting:
    """The setting in which policies are simulated on the model.

    Args:
        guest: The guest.
        link: What the network carries, in bytes per second.
        until: Seconds to simulate at most.
    """

    def start(asked: Start) -> ModelJob:
        options, limit = asked.desired.start, asked.max_downtime
        return ModelJob(
            guest,
            link=link,
            auto_converge=options.auto_converge if options else None,
            max_downtime=QEMU_DOWNTIME if limit is None else limit.total_seconds(),
            bandwidth=bandwidth(asked.desired),
            post_copy_bandwidth=asked.desired.post_copy_bandwidth,
            now=asked.now,
        )

    return Setting(vm=simulated_vm(memory=guest.memory, vcpus=guest.vcpus), start_job=start, until=until)


def allowed_time(policy: MigrationPolicySpec, memory: int) -> timedelta:
    """How long the policy itself lets a migration take, all its tries together; zero: it sets no bound.

    Args:
        policy: The policy.
        memory: The guest's, in bytes.
    """
    within = None if policy.objective is None else total_within(policy.objective, memory)
    bound = max(within or timedelta(0), total_timeout(policy.timeout, memory) or timedelta(0))
    return bound * (policy.retry.attempts if policy.retry else 1)


def describe(guest: Guest, link: float) -> str:
    """The guest, and what the model is, in a sentence."""
    return (
        f"Model of QEMU 7.2: {format_quantity(guest.memory)} of memory, {format_quantity(guest.touched)} used, "
        f"{format_quantity(round(guest.dirty_rate))}/s written {guest.pattern} over "
        f"{format_quantity(guest.working_set)}, a network of {format_quantity(round(link))}/s. "
        "How far to trust it: docs/simulation.md."
    )


def left_out(policy: MigrationPolicySpec) -> list[str]:
    """What the policy asks for and the model leaves out."""
    starts = [policy.start, *(step.restart.start for step in policy.steps or [] if step.restart is not None)]
    asked = {
        name
        for start in starts
        if start is not None
        for name, given in (
            ("compression", start.compression is not None),
            ("parallelConnections", start.parallel_connections is not None),
            ("zeroCopy", bool(start.zero_copy)),
            ("encryption", start.encryption == Encryption.REQUIRED),
        )
        if given
    }
    return [f"{name} is not modelled; simulated as without it" for name in sorted(asked)]
