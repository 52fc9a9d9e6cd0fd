"""How the image that the Dockerfile begins with is provided."""

import os
from dataclasses import dataclass, field

import pytest

from vmferry_lab.errors import LabError
from vmferry_lab.images import bases


@dataclass
class Engine:
    """Remembers what it was asked to do."""

    kept: bool = False
    trouble: str = ""
    asked: list[str] = field(default_factory=list)

    def has(self, tag):
        return self.kept

    def pull(self, tag):
        self.asked.append("pull")
        return self.trouble

    def take(self, root, tag):
        self.asked.append(f"take {root.name} as {tag}")


TAKEN = "take debian-trixie-slim.tar as debian:trixie-slim"


@pytest.fixture
def bootstrapped(tmp_path, monkeypatch):
    """A base that was bootstrapped before."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    tar = tmp_path / "vmferry-lab" / "images" / "debian-trixie-slim.tar"
    tar.parent.mkdir(parents=True)
    tar.touch()
    return tar


@pytest.mark.parametrize(
    ("engine", "asked"),
    [
        (Engine(kept=True), []),
        (Engine(), ["pull"]),
        (Engine(trouble="no such host"), ["pull", TAKEN]),
    ],
    ids=["it is kept: nothing is asked for", "a registry has it", "no registry: bootstrapped, here before"],
)
def test_the_base_comes_from_the_nearest_place(engine, asked, bootstrapped):
    bases.provide(engine, lambda _: None, fresh=False)
    assert engine.asked == asked


@pytest.fixture
def debootstrap(tmp_path, monkeypatch):
    """A debootstrap that fails, and says how it was called."""
    program = tmp_path / "bin" / "debootstrap"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "called with $*"\nexit 1\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_packages_whose_signature_can_t_be_checked_are_not_taken(debootstrap, tmp_path, monkeypatch):
    """Without the keys debootstrap would warn, and go on."""
    installed = []
    monkeypatch.setattr(bases, "KEYRING", tmp_path / "no-keys.gpg")
    monkeypatch.setattr(bases, "install", lambda package, _: installed.append(package))
    with pytest.raises(LabError, match="called with --force-check-gpg "):
        bases.bootstrapped(lambda _: None)
    assert "debian-archive-keyring" in installed
    assert "debootstrap" not in installed


def test_the_updates_and_security_updates_of_the_release_are_among_the_sources():
    assert bases._sources("deb http://mirror.example/debian trixie main\n").splitlines() == [
        "deb http://mirror.example/debian trixie main",
        "deb http://mirror.example/debian trixie-updates main",
        "deb http://mirror.example/debian-security trixie-security main",
    ]
