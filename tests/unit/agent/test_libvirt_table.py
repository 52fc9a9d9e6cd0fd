"""docs/libvirt.md has every call of libvirt that the agent makes, and names tests that there are."""

import ast
import inspect
import re
from pathlib import Path

import libvirt

import vmferry_agent.hypervisor

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "libvirt.md").read_text()
KINDS = (libvirt.virConnect, libvirt.virDomain, libvirt)
OTHERS = {"_logger", "uri", "parts", "pool"}
"""What has attributes of the same names, in the agent's code."""
CALL = re.compile(r"libvirtmod\.(vir\w+)\(")


def made_by(name):
    """Libvirt's names of the functions behind an attribute of the binding's."""
    found = (getattr(kind, name, None) for kind in KINDS)
    sources = (inspect.getsource(each) for each in found if inspect.isfunction(each))
    return {call for source in sources for call in CALL.findall(source)}


def calls_in(source):
    """Libvirt's names of what a program calls, or hands on to be called."""
    attributes = (each for each in ast.walk(ast.parse(source)) if isinstance(each, ast.Attribute))
    return {call for each in attributes if not of_others(each) for call in made_by(each.attr)}


def of_others(attribute):
    return isinstance(attribute.value, ast.Name) and attribute.value.id in OTHERS


def test_every_call_is_in_the_table():
    package = Path(vmferry_agent.hypervisor.__file__).parent
    calls = {call for path in package.glob("*.py") for call in calls_in(path.read_text())}
    assert {"virDomainMigrateToURI3", "virDomainGetJobStats", "virConnectOpen"} <= calls
    assert sorted(call for call in calls if f"`{call}`" not in TEXT) == []


def test_every_test_that_is_named_exists():
    named = set(re.findall(r"`(test_\w+)`", TEXT))
    sources = (path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    defined = {name for source in sources for name in re.findall(r"def (test_\w+)\(", source)}
    assert len(named) > 30
    assert sorted(named - defined) == []


def test_every_test_on_a_real_daemon_is_named():
    real = (ROOT / "tests" / "e2e" / "hypervisor").glob("test_*.py")
    defined = {name for path in real for name in re.findall(r"def (test_\w+)\(", path.read_text())}
    assert sorted(name for name in defined if f"`{name}`" not in TEXT) == []
