"""Which engine builds the images, tried with programs that answer as the real ones do."""

from pathlib import Path

import pytest

from vmferry_lab.errors import LabError
from vmferry_lab.images import engines
from vmferry_lab.images.commands import install, trouble
from vmferry_lab.images.engines import ENGINES, Buildah, Docker, Podman, choose

WORKS = "#!/bin/sh\nexit 0\n"
NO_DAEMON = "#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2\nexit 1\n"
NO_BUILDX = (
    '#!/bin/sh\n[ "$1" != buildx ] || { echo "docker: unknown command: docker buildx" >&2; exit 1; }\n'
)


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Puts programs in the only directory that there is, and returns what the user was told."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def put(**texts):
        for name, text in texts.items():
            (tmp_path / name).write_text(text)
            (tmp_path / name).chmod(0o755)

    return put


@pytest.mark.parametrize(
    ("there", "chosen", "told"),
    [
        ({"docker": WORKS, "podman": WORKS}, Docker, []),
        ({"docker": NO_DAEMON, "podman": WORKS}, Podman, ["docker: Cannot connect to the Docker daemon"]),
        ({"docker": NO_BUILDX, "podman": WORKS}, Podman, ["docker: docker: unknown command: docker buildx"]),
        ({"buildah": WORKS}, Buildah, ["docker: not installed", "podman: not installed"]),
    ],
    ids=["the first that works", "a client without a daemon", "Docker without BuildKit", "the last"],
)
def test_the_first_engine_that_works_builds(programs, there, chosen, told):
    programs(**there)
    said = []
    assert type(choose([*ENGINES], said.append)) is chosen
    assert said == told


def test_an_engine_that_is_asked_for_is_the_only_one_that_is_tried(programs):
    programs(docker=WORKS)
    with pytest.raises(LabError, match="of podman none works"):
        choose(["podman"], lambda _: None)


def test_buildah_that_is_there_and_does_not_work_is_not_installed_again(programs):
    programs(buildah=NO_DAEMON)
    with pytest.raises(LabError, match="none works"):
        choose([*ENGINES], lambda _: None)


def test_where_nothing_works_and_there_is_no_apt_the_user_is_told_what_to_install(programs):
    programs()
    with pytest.raises(LabError, match="takes buildah: please install it"):
        choose([*ENGINES], lambda _: None)


def test_who_may_not_install_is_told_the_command(programs, monkeypatch):
    programs(**{"apt-get": WORKS})
    monkeypatch.setattr("os.getuid", lambda: 1000)
    with pytest.raises(LabError, match=r"takes root, and there is no sudo; as root: apt-get update"):
        install("buildah", "building images")


def test_buildah_is_installed_where_there_is_nothing(programs, tmp_path):
    programs(
        **{
            "apt-get": f"#!/bin/sh\nprintf '#!/bin/sh\\n' > {tmp_path}/buildah\n/bin/chmod +x {tmp_path}/buildah\n"
        }
    )
    (tmp_path / "env").symlink_to("/usr/bin/env")
    (tmp_path / "sudo").symlink_to("/usr/bin/env")
    assert type(choose([*ENGINES], lambda _: None)) is Buildah


def test_a_program_that_does_not_answer_is_given_up(programs):
    programs(docker="#!/bin/sh\nexec /bin/sleep 60\n")
    assert trouble(["docker"], within=0.2) == "no answer within 0.2 s"


def test_a_build_passes_secrets_as_files_and_nothing_of_them_as_words():
    build = engines.Build(
        context=Path("/src"),
        dockerfile=Path("/private/Dockerfile"),
        target="operator",
        tag="vmferry-operator:1",
        secrets={"pip.conf": Path("/private/pip.conf")},
        epoch=0,
    )
    assert build.options() == [
        *("--file", "/private/Dockerfile", "--target", "operator", "--tag", "vmferry-operator:1"),
        *("--secret", "id=pip.conf,src=/private/pip.conf"),
    ]
