from pathlib import Path

import pytest

from controlplane.options import parse_options


def test_defaults_follow_the_state_folder_and_the_subnet(monkeypatch):
    monkeypatch.setenv("LUGSAIL_HOME", "/state")
    monkeypatch.setenv("LUGSAIL_SUBNET", "127.44")
    options = parse_options([])
    assert (options.registry, options.store) == (Path("/state/registry.yaml"), Path("/state/store.db"))
    assert (options.address, options.http_port, options.xds_port, options.monitoring_port) == (
        "127.44.0.1",
        8080,
        15010,
        15014,
    )


def test_everything_can_be_said():
    paths = ["--registry", "r", "--store", "s", "--address", "127.1.1.1", "--log-level", "debug"]
    options = parse_options([*paths, "--http-port", "1", "--xds-port", "2", "--monitoring-port", "3"])
    assert (options.registry, options.store, options.address) == (Path("r"), Path("s"), "127.1.1.1")
    assert (options.http_port, options.xds_port, options.monitoring_port, options.log_level) == (1, 2, 3, "debug")


@pytest.mark.parametrize("port", ["0", "65536", "x", "-1"])
def test_ports_are_ports(port, capsys):
    with pytest.raises(SystemExit):
        parse_options(["--xds-port", port])
    assert "is not a port" in capsys.readouterr().err or port == "-1"


def test_docker_stands_beside_the_registry_or_alone(monkeypatch):
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    assert not parse_options([]).docker
    options = parse_options(["--docker"])
    assert options.docker and options.registry is None and options.docker_host == "unix:///var/run/docker.sock"
    both = parse_options(["--docker", "--registry", "r", "--docker-project", "p", "--docker-host", "tcp://h:1"])
    assert (both.registry, both.docker_project, both.docker_host) == (Path("r"), "p", "tcp://h:1")


@pytest.mark.parametrize("arguments", [["--user", "0"], ["--user", "me"], ["--docker-all", "--docker-project", "p"]])
def test_what_makes_no_sense_is_refused(arguments):
    with pytest.raises(SystemExit):
        parse_options(["--docker", *arguments])
