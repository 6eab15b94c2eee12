from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from lugsail.lab.containers.compose_file import Options, compose_file, interpolated
from lugsail.lab.errors import LabError
from lugsail.lab.paths import shipped

APP = "services: {a-v1: {image: x, labels: {app: a, lugsail.io/ports: 'http:80'}, profiles: [extra]}, b: {image: y}}"


def write(folder: Path, text: str) -> Path:
    path = folder / "app.yaml"
    path.write_text(text)
    return path


def test_the_default_is_the_checked_in_file() -> None:
    file = compose_file(Options(proxy="envoy"))
    assert file.path == shipped("compose/bookinfo.yaml")
    assert file.project == "bookinfo"
    assert file.images({"LUGSAIL_PROXY": "envoy"}) == [
        "lugsail/base",
        "lugsail/planes",
        "lugsail/envoy",
        "lugsail/apps",
    ]
    assert file.published() == {
        "LUGSAIL_APP_PORT": 9080,
        "LUGSAIL_API_PORT": 8081,
        "LUGSAIL_MONITORING_PORT": 15014,
        "LUGSAIL_GATEWAY_PORT": 8080,
        "LUGSAIL_GATEWAY_TLS_PORT": 8443,
        "LUGSAIL_GATEWAY_TCP_PORT": 31400,
        "LUGSAIL_TRACING_PORT": 16686,
        "LUGSAIL_METRICS_PORT": 9091,
    }


@pytest.mark.parametrize("options", [Options(proxy_for={"reviews-v1": "envoy"}), Options(log_level="debug")])
def test_what_the_checked_in_file_cannot_say_is_injected_anew(options: Options) -> None:
    file = compose_file(options)
    assert file.path is None
    assert file.folder == shipped("compose/bookinfo.yaml").parent
    services: dict[str, Any] = yaml.safe_load(file.text())["services"]
    command = services["reviews-v1-proxy"]["command"]
    if options.proxy_for:
        assert command[command.index("--proxy") + 1] == "envoy"
        assert services["reviews-v1-proxy"]["image"] == "lugsail/envoy"
    else:
        for name in ("reviews-v1-proxy", "gateway", "control-plane"):
            assert services[name]["command"][-2:] == ["--log-level", "debug"]
        assert "--log-level" not in services["reviews-v1"]["command"]


def test_prometheus_is_a_profile() -> None:
    file = compose_file(Options(observers=("tracing", "metrics", "prometheus")))
    assert file.path is not None
    assert "prometheus" in file.services()
    assert "lugsail/prometheus" in file.images({})


def test_what_is_not_wanted_is_left_out() -> None:
    assert not {"tracing", "metrics"} & set(compose_file(Options(observers=())).services())


def test_a_mesh_config_of_ones_own_lies_on_this_machine(tmp_path: Path) -> None:
    path = tmp_path / "mesh.yaml"
    path.write_text("accessLogFile: /dev/stdout\nnonsense: 1\n")
    file = compose_file(Options(mesh_config=path))
    control_plane = file.services()["control-plane"]
    assert control_plane["command"][-2:] == ["--mesh-config", "/etc/lugsail/mesh-config.yaml"]
    assert control_plane["command"].count("--mesh-config") == 1
    assert control_plane["volumes"][-1] == f"{path}:/etc/lugsail/mesh-config.yaml:ro"
    assert any("nonsense" in note for note in file.notes)
    path.write_text("accessLogEncoding: XML")
    with pytest.raises(LabError, match="accessLogEncoding"):
        compose_file(Options(mesh_config=path))


def test_a_topology_of_ones_own(tmp_path: Path) -> None:
    path = write(tmp_path, APP)
    file = compose_file(Options(topology=path, project="mine"))
    assert (file.project, file.folder, file.path) == ("mine", tmp_path, None)
    assert "a-v1-proxy" not in file.services()
    assert "b-proxy" in file.services()
    chosen = compose_file(Options(topology=path, profiles=("extra",)))
    assert chosen.project == "lugsail"
    assert "a-v1-proxy" in chosen.services()


@pytest.mark.parametrize(
    ("text", "options", "code", "expected"),
    [
        ("services: {}", {}, 65, "there is no `services` mapping"),
        ("{", {}, 65, "Cannot read the topology"),
        (APP, {"profiles": ("nope",)}, 64, "--profile nope: there is no such profile; there are egress-gateway, extra"),
        (APP, {"project": "No!"}, 64, "--project No!: expected lower-case letters"),
        (APP, {"proxy_for": {"c": "envoy"}}, 64, "--proxy-for c: "),
        ("services: {a: {network_mode: host}}", {}, 65, "no service of it takes a sidecar"),
    ],
)
def test_what_cannot_be_says_why(tmp_path: Path, text: str, options: dict[str, Any], code: int, expected: str) -> None:
    with pytest.raises(LabError, match=expected) as caught:
        compose_file(Options(topology=write(tmp_path, text), **options))
    assert caught.value.exit_code == code


def test_a_topology_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="There is no topology"):
        compose_file(Options(topology=tmp_path / "none.yaml"))


def test_interpolation() -> None:
    assert interpolated("lugsail/${LUGSAIL_PROXY:-python}", {}) == "lugsail/python"
    assert interpolated("lugsail/${LUGSAIL_PROXY:-python}", {"LUGSAIL_PROXY": "envoy"}) == "lugsail/envoy"
    assert interpolated("plain", {}) == "plain"
