"""The lab's processes are known by a mark in their environment, and are stopped for certain."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from vmferry_lab import processes
from vmferry_lab.errors import LabError
from vmferry_lab.until import until

STUBBORN = (
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"
)


@pytest.fixture
def start(tmp_path):
    """Starts Python programs for a lab in the test's directory."""

    def begin(component, program, lab=tmp_path):
        log = tmp_path / f"{component}.log"
        return processes.start(component, [sys.executable, "-c", program], lab=lab, log=log)

    yield begin
    processes.stop(processes.of_lab(tmp_path), how=signal.SIGKILL)


def test_each_lab_and_component_is_found_apart(start, tmp_path):
    one = start("one", "import time; time.sleep(600)")
    two = start("two", "import time; time.sleep(600)")
    other = start("one", "import time; time.sleep(600)", lab=tmp_path / "other")
    assert {each.pid for each in processes.of_lab(tmp_path)} == {one.pid, two.pid}
    assert processes.of_component(tmp_path, "one") == [one]
    assert processes.components_of(tmp_path) == {"one", "two"}
    processes.stop([other])


def test_a_child_of_a_process_is_found_after_its_parent_is_gone(start, tmp_path):
    child = "import time; time.sleep(600)"
    parent = start("one", f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}])")
    until("the parent to end", lambda: processes.has_ended(parent), timeout=10)
    (left,) = until("its child", lambda: processes.of_lab(tmp_path), timeout=10)
    assert left.pid != parent.pid
    processes.kill_all("processes", lambda: processes.of_lab(tmp_path))
    assert processes.of_lab(tmp_path) == []


def test_output_and_errors_go_to_the_log(start, tmp_path):
    process = start("one", "import sys; print('out'); print('err', file=sys.stderr)")
    until("it to end", lambda: processes.has_ended(process), timeout=10)
    assert sorted(processes.tail(tmp_path / "one.log").splitlines()) == ["err", "out"]


def test_a_process_that_ended_by_itself_is_none_of_the_lab_s_any_more(start, tmp_path):
    process = start("one", "")
    until("it to end", lambda: processes.has_ended(process), timeout=10)
    assert processes.of_lab(tmp_path) == []
    processes.stop([process])


def test_one_that_does_not_heed_sigterm_is_killed(start, tmp_path, monkeypatch):
    process = start("one", STUBBORN)
    until("it to be deaf", lambda: "ready" in processes.tail(tmp_path / "one.log"), timeout=10)
    monkeypatch.setattr(processes, "GRACE", 1.0)
    processes.stop([process])
    assert not psutil.pid_exists(process.pid)


def test_a_process_outlives_its_starter(tmp_path):
    starter = (
        "import sys; from pathlib import Path; from vmferry_lab import processes;"
        f"lab = Path({str(tmp_path)!r});"
        "processes.start('one', ['sleep', '600'], lab=lab, log=lab / 'one.log')"
    )
    subprocess.run([sys.executable, "-c", starter], check=True, timeout=30)
    (left,) = processes.of_lab(tmp_path)
    processes.stop([left])
    assert processes.of_lab(tmp_path) == []


def test_one_whose_parent_does_not_wait_for_it_counts_as_ended_once_killed(tmp_path):
    parent = (
        "import time; from pathlib import Path; from vmferry_lab import processes;"
        f"lab = Path({str(tmp_path)!r});"
        "processes.start('one', ['sleep', '600'], lab=lab, log=lab / 'one.log'); time.sleep(600)"
    )
    careless = subprocess.Popen([sys.executable, "-c", parent])
    try:
        (one,) = until("its child", lambda: processes.of_lab(tmp_path), timeout=10)
        processes.stop([one])
        assert one.status() == psutil.STATUS_ZOMBIE
        assert processes.of_lab(tmp_path) == []
    finally:
        careless.kill()
        careless.wait(timeout=10)


def test_a_program_that_is_not_there_is_named(tmp_path):
    with pytest.raises(LabError, match=r"one can't be started: .*no-such-program"):
        processes.start("one", ["no-such-program"], lab=tmp_path, log=tmp_path / "log")


def test_killing_all_takes_no_end_where_something_restarts_them(start):
    with pytest.raises(LabError, match="come back as often as they are killed"):
        processes.kill_all("they", lambda: [start("one", "import time; time.sleep(600)")])


def test_waiting_ends_and_says_for_what():
    with pytest.raises(TimeoutError, match=r"waited 0\.05 s in vain for: godot"):
        until("godot", lambda: None, timeout=0.05, interval=0.01)


def test_a_process_started_apart_is_found_though_it_is_nobody_s_child(tmp_path):
    process = processes.start("one", ["sleep", "600"], lab=tmp_path, log=tmp_path / "log", through=["nice"])
    try:
        assert processes.of_component(tmp_path, "one") == [process]
        assert process.ppid() != os.getpid()
    finally:
        processes.stop([process], how=signal.SIGKILL)


def test_one_that_is_started_apart_and_never_seen_is_told_of_with_its_last_words(tmp_path, monkeypatch):
    """One that ends at once may be seen all the same; one without its mark never is."""
    monkeypatch.setattr(processes, "_APPEARS", 0.5)
    command, unmarked = ["cat", "/no/such/file"], ["env", "--ignore-environment"]
    with pytest.raises(LabError, match=r"one has ended at once\n.*no/such/file"):
        processes.start("one", command, lab=tmp_path, log=tmp_path / "log", through=unmarked)
