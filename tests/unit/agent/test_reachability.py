"""Whether libvirt answers, as the readiness probe asks."""

import asyncio

from vmferry_agent.hypervisor.port import HypervisorError
from vmferry_agent.reachability import Reachability


class Libvirt:
    """Answers as told, and counts how often it is asked."""

    def __init__(self):
        self.asked = 0
        self.error = None
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def facts(self):
        self.asked += 1
        await self.may_answer.wait()
        if self.error:
            raise self.error


async def test_an_answer_of_libvirt_holds_for_a_while():
    libvirt = Libvirt()
    reachability = Reachability(libvirt, lately=3600)
    assert [await reachability.trouble() for _ in range(3)] == [None] * 3
    assert libvirt.asked == 1


async def test_what_libvirt_says_is_wrong_is_told_and_asked_again():
    libvirt = Libvirt()
    libvirt.error = HypervisorError("Permission denied (libvirt error 38)")
    reachability = Reachability(libvirt)
    assert await reachability.trouble() == "Permission denied (libvirt error 38)"
    libvirt.error = None
    assert await reachability.trouble() is None
    assert libvirt.asked == 2


async def test_however_many_ask_a_libvirt_that_hangs_one_call_waits_for_it():
    libvirt = Libvirt()
    libvirt.may_answer.clear()
    reachability = Reachability(libvirt, patience=0.01)
    troubles = await asyncio.gather(*(reachability.trouble() for _ in range(20)))
    assert {trouble.partition(";")[0] for trouble in troubles} == {"libvirt has not answered for 0.01 s"}
    assert libvirt.asked == 1
    libvirt.may_answer.set()
    assert await Reachability(libvirt).trouble() is None
