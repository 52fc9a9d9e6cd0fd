"""What hosts decide before anything is started."""

from pathlib import Path

import pytest

from vmferry_lab.errors import LabError
from vmferry_lab.hosts import migration_ports, privileges
from vmferry_lab.hosts.session import SessionHost


def test_a_directory_too_long_for_sockets_is_refused_with_the_way_out():
    host = SessionHost("node-a", Path("/tmp") / ("x" * 80))
    with pytest.raises(LabError, match=r"take one that is \d+ shorter \(--dir\)"):
        host.start()


def claim(directory, start):
    file = directory / migration_ports.QEMU_CONF
    file.parent.mkdir(parents=True)
    file.write_text(f'stdio_handler = "file"\nmigration_port_min = {start}\n')


def test_a_block_that_another_host_has_is_not_given_twice(tmp_path, monkeypatch):
    claim(tmp_path / "node-a", 20_000)
    drawn = iter([range(20_000, 20_020), range(20_020, 20_040)])
    monkeypatch.setattr(migration_ports, "free_block", lambda _size: next(drawn))
    assert migration_ports.unclaimed_block(tmp_path) == range(20_020, 20_040)


def test_when_all_blocks_are_taken_it_is_told(tmp_path, monkeypatch):
    claim(tmp_path / "node-a", 20_000)
    monkeypatch.setattr(migration_ports, "free_block", lambda _size: range(20_000, 20_020))
    with pytest.raises(LabError, match="no 20 ports in a row"):
        migration_ports.unclaimed_block(tmp_path)


def mask(*kinds):
    return "".join(f"{kind}:\t{1 << 19:016x}\n" for kind in kinds)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Makes the lab believe that it is run by such a user on such a machine."""

    def make(*, root, status, sysctl):
        for name, text in (("_STATUS", status), ("_SYSCTL", sysctl)):
            (tmp_path / name).write_text(text)
            monkeypatch.setattr(privileges, name, tmp_path / name)
        monkeypatch.setattr(privileges, "is_root", lambda: root)

    return make


def test_root_hands_the_capability_that_post_copy_needs_on(machine):
    machine(root=True, status=mask("CapEff", "CapPrm", "CapBnd"), sysctl="0")
    assert privileges.post_copy().possible
    assert "--ambient-caps" in privileges.unprivileged_command()


def test_root_of_a_container_without_the_capability_still_starts_hosts(machine):
    machine(root=True, status=mask("CapEff", "CapPrm"), sysctl="0")
    assert not privileges.post_copy().possible
    assert privileges.unprivileged_command()[0] == "setpriv"
    assert "--ambient-caps" not in privileges.unprivileged_command()


def test_an_ordinary_user_is_told_what_post_copy_needs(machine):
    machine(root=False, status="", sysctl="0")
    assert not privileges.post_copy().possible
    assert "sysctl vm.unprivileged_userfaultfd=1" in privileges.post_copy().reason
    assert privileges.unprivileged_command() == []


def test_post_copy_is_possible_for_all_where_the_machine_says_so(machine):
    machine(root=False, status="", sysctl="1")
    assert privileges.post_copy().possible
