"""Flags, environment and file say the same things, in this order."""

import pytest
from click.testing import CliRunner

from vmferry_agent.configuration import CheckConfiguration, Configuration, check_options, options
from vmferry_agent.main import main
from vmferry_agent.uris import connect_uri, libvirt_uri, migration_uri, tls_destination

NEEDED = ["--node", "node-a", "--connect-uri", "qemu+tls://node-a/system"]


@pytest.fixture
def configured(configuring):
    """What a command line, an environment and a file come to; or what is said against them."""
    return configuring(options, Configuration, "agent.yaml")


def test_little_must_be_given(configured):
    configuration = configured(*NEEDED)
    assert (configuration.libvirt_uri, configuration.migration_uri) == ("qemu:///system", None)
    assert (configuration.health_address, configuration.health_port) == ("0.0.0.0", 8080)
    assert (configuration.log_format, configuration.namespace) == ("text", "vmferry-system")


@pytest.mark.parametrize(
    ("flag", "variable", "file", "name"),
    [
        ("from-flag", "from-variable", "from-file", "from-flag"),
        (None, "from-variable", "from-file", "from-variable"),
        (None, None, "from-file", "from-file"),
    ],
)
def test_a_flag_counts_more_than_a_variable_and_that_more_than_the_file(
    configured, flag, variable, file, name
):
    configuration = configured(
        *(["--node", flag] if flag else []),
        environment={"VMFERRY_NODE": variable} if variable else {},
        file=f"node: {file}\nconnect-uri: qemu+tls://node-a/system\n",
    )
    assert configuration.node == name


def test_all_can_be_given_by_a_file_and_all_by_variables(configured, tmp_path):
    values = {
        "node": "node-a",
        "libvirt-uri": "qemu:///session",
        "connect-uri": "qemu+ssh://root@node-a/system",
        "migration-uri": "tcp://10.0.0.7",
        "tls-destination": "node-a.example",
        "measure-dirty-rate": "false",
        "namespace": "elsewhere",
        "health-address": "::1",
        "health-port": "0",
        "record-traces": str(tmp_path),
        "log-format": "json",
        "verbose": "true",
    }
    by_file = configured(file="".join(f"{key}: {value}\n" for key, value in values.items()))
    variables = {f"VMFERRY_{key.replace('-', '_').upper()}": value for key, value in values.items()}
    assert by_file == configured(environment=variables)
    assert by_file == Configuration(
        **{key.replace("-", "_"): value for key, value in values.items()}
        | {"health_port": 0, "record_traces": tmp_path, "verbose": True, "measure_dirty_rate": False}
    )
    assert by_file == configured(environment={"VMFERRY_CONFIG": str(tmp_path / "agent.yaml")})


@pytest.mark.parametrize("off", ["off", '"off"', '""'])
def test_health_can_be_off(configured, off):
    assert configured(*NEEDED, file=f"health-port: {off}\n").health_port is None
    assert configured(*NEEDED, "--health-port", "off").health_port is None


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("nodes: a\n", "agent.yaml: nodes: there is no such key; there are connect-uri, health-address,"),
        ("- a\n", "agent.yaml: must be lines of `key: value`; the keys are connect-uri,"),
        ("a: b: c\n", "agent.yaml: is no YAML: mapping values are not allowed here"),
        ("node: 12\n", "agent.yaml: node: 12 must be a string; put it in quotes"),
        ("node: [a]\n", "agent.yaml: node: ['a'] must be a string; put it in quotes"),
        ("verbose: 3\n", "agent.yaml: verbose: 3 must be true or false"),
        (
            "health-port: 70000\n",
            "health-port: 70000 must be a port from 1 to 65535, 0 (any that is free) or off",
        ),
        ("log-format: xml\n", "agent.yaml: log-format: 'xml' is not one of 'text', 'json'"),
        ("libvirt-uri: xen:///\n", "agent.yaml: libvirt-uri: 'xen:///' must be a QEMU driver's on this host"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_place_and_what_is_right(configured, file, said):
    assert said in " ".join(configured(*NEEDED, file=file).split())


def test_a_file_that_is_not_there_is_named(configured):
    assert "missing.yaml: can't be read" in configured(*NEEDED, "--config", "missing.yaml")


def test_what_is_wrong_in_flags_and_variables_is_told_with_what_is_right(configured):
    said = configured(*NEEDED, "--migration-uri", "10.0.0.7")
    assert "'--migration-uri'" in said
    assert "must be tcp://HOST" in said
    said = configured(*NEEDED, environment={"VMFERRY_HEALTH_PORT": "http"})
    assert "'http' must be a port" in said
    assert "Missing option '--node' (env var: 'VMFERRY_NODE')" in configured()


def test_a_check_does_without_the_address_for_other_hosts_and_takes_the_same_file(configuring):
    checked = configuring(check_options, CheckConfiguration, "agent.yaml")
    assert checked("--node", "node-a").connect_uri is None
    by_file = checked(
        file="node: node-a\nconnect-uri: qemu+tls://node-a/system\nmigration-uri: tcp://node-a\n"
    )
    assert (by_file.connect_uri, by_file.migration_uri) == ("qemu+tls://node-a/system", "tcp://node-a")
    assert "Missing option '--connect-uri'" in CliRunner().invoke(main, ["run", "--node", "node-a"]).output


@pytest.mark.parametrize("command", ["run", "check"])
def test_the_help_tells_whether_a_flag_is_on(command):
    said = " ".join(CliRunner().invoke(main, [command, "--help"]).output.split())
    assert "VMFERRY_MEASURE_DIRTY_RATE; default: (on)]" in said


@pytest.mark.parametrize("command", ["run", "check"])
def test_the_help_names_each_variable(command):
    said = CliRunner().invoke(main, [command, "--help"]).output
    for variable in ("VMFERRY_CONFIG", "VMFERRY_NODE", "VMFERRY_LIBVIRT_URI", "VMFERRY_HEALTH_PORT"):
        assert variable in said


GOOD = {
    libvirt_uri: ["qemu:///system", "qemu:///session", "qemu+unix:///system?socket=/run/x"],
    connect_uri: [
        "qemu+tls://node-a/system",
        "qemu+tcp://10.0.0.7:16509/system",
        "qemu+tls://[fd00::7]/system?no_verify=1",
        "qemu+ssh://root@node-a.example/system",
        "qemu://node-a/system",
        "qemu+unix:///session?socket=/lab/libvirt-sock",
    ],
    migration_uri: ["tcp://10.0.0.7", "tcp://node-a:49152", "tcp://[fd00::7]", "rdma://n:1"],
    tls_destination: ["node-a.example", "10.0.0.7", "fd00::7"],
}
BAD = {
    libvirt_uri: {
        "": "QEMU driver's",
        "test:///default": "QEMU driver's",
        "qemu:///": "QEMU driver's",
        "qemu://node-b/system": "leads to node-b",
        "qemu+tls://node-b/system": "QEMU driver's",
    },
    connect_uri: {
        "qemu:///system": "names no host",
        "qemu+unix:///system": "must be one of",
        "qemu+tls://localhost/system": "another host's own",
        "qemu+tcp://127.0.0.1/system": "another host's own",
        "qemu+tcp://[::1]/system": "another host's own",
        "qemu+tcp://0.0.0.0/system": "another host's own",
        "tcp://10.0.0.7": "must be one of",
        "qemu+tls://node-a": "must be one of",
        "qemu+tls://node-a:port/system": "Port",
        "qemu+ssh://node-a/system?command=/opt/ssh": "has the parameter command, and may have keyfile, ",
        "qemu+tls://node-a/system?pkipath=/etc/pki/x": "has the parameter pkipath, and may have no_verify, ",
        "qemu+tls://node-a:99999/system": "Port",
    },
    migration_uri: {
        "10.0.0.7": "must be tcp://HOST",
        "tcp:10.0.0.7": "must be tcp://HOST",
        "tcp://": "must be tcp://HOST",
        "tcp://0.0.0.0": "no address to connect to",
        "tcp://[::]:1": "no address to connect to",
        "unix:///": "must be tcp://HOST",
        "unix:///run/m": "must be tcp://HOST",
        "tcp://node-a:99999": "must be tcp://HOST",
    },
    tls_destination: {"": "is no name", "*": "is no name"},
}


@pytest.mark.parametrize(("check", "uri"), [(check, uri) for check, uris in GOOD.items() for uri in uris])
def test_a_uri_that_can_work_is_taken(check, uri):
    assert check(uri) == uri


@pytest.mark.parametrize(
    ("check", "uri", "said"),
    [(check, uri, said) for check, uris in BAD.items() for uri, said in uris.items()],
)
def test_a_uri_that_can_not_work_is_refused_with_what_can(check, uri, said):
    with pytest.raises(ValueError, match=said):
        check(uri)
