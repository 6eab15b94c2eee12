import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap
from envoy.extensions.filters.http.router.v3 import router_pb2  # noqa: F401  printing and parsing find it by name
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2  # noqa: F401
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2  # noqa: F401
from google.protobuf.json_format import ParseDict

from sidecar.agent.bootstrap import address_of, build_bootstrap, discovery_target
from sidecar.agent.envoy import EnvoyNotFound, find_envoy
from sidecar.agent.identity import Identity

GOLDEN = Path(__file__).parents[2] / "testdata" / "sidecar" / "bootstrap.json"


def bootstrap() -> dict[str, Any]:
    identity = Identity(
        workload="productpage-v1",
        namespace="default",
        ip="127.36.1.1",
        labels={"app": "productpage", "version": "v1"},
        service_account="bookinfo-productpage",
    )
    return build_bootstrap(identity, "127.36.0.1:15010", "127.36.1.1")


def test_golden() -> None:
    """The whole bootstrap; to renew: python -m tests.sidecar.agent.test_bootstrap."""
    assert bootstrap() == json.loads(GOLDEN.read_text())


def test_it_is_a_bootstrap_to_the_letter() -> None:
    message = ParseDict(bootstrap(), Bootstrap())
    assert message.node.id == "sidecar~127.36.1.1~productpage-v1.default~default.svc.cluster.local"
    assert message.node.metadata["LABELS"]["app"] == "productpage"


def test_nothing_listens_on_the_wildcard_address() -> None:
    text = json.dumps(bootstrap())
    assert "0.0.0.0" not in text  # noqa: S104  it is looked for
    assert '"::"' not in text


def in_a_pod(discovery: str = "control-plane:15010") -> dict[str, Any]:
    identity = Identity(workload="x", namespace="default", ip="10.1.2.3", interception="REDIRECT", dns_capture=True)
    return build_bootstrap(identity, discovery, "127.0.0.1", own_network=True)


def test_a_pod_with_a_network_of_its_own() -> None:
    found = in_a_pod()
    ports = {
        listener["address"]["socket_address"]["port_value"]: listener["address"]["socket_address"]["address"]
        for listener in found["static_resources"]["listeners"]
    }
    assert ports == {15090: "0.0.0.0", 15021: "0.0.0.0"}, "the pod's address may change"  # noqa: S104
    assert found["admin"]["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 15000}
    assert found["node"]["metadata"]["DNS_CAPTURE"] == "true"
    assert found["node"]["metadata"]["INTERCEPTION_MODE"] == "REDIRECT"


def test_a_control_plane_by_name_is_looked_up() -> None:
    cluster = in_a_pod()["static_resources"]["clusters"][0]
    assert cluster["cluster_type"]["typed_config"]["dns_refresh_rate"] == "2s"
    assert "type" not in cluster
    options = next(iter(cluster["typed_extension_protocol_options"].values()))
    assert options["explicit_http_config"]["http2_protocol_options"]["connection_keepalive"]["interval"] == "2s"
    assert in_a_pod("10.0.0.1:15010")["static_resources"]["clusters"][0]["type"] == "STATIC"
    assert discovery_target(in_a_pod()) == "control-plane:15010"
    assert discovery_target(in_a_pod("[fd00::1]:15010")) == "[fd00::1]:15010"


def test_the_control_plane_is_found_again() -> None:
    assert discovery_target(bootstrap()) == "127.36.0.1:15010"


@pytest.mark.parametrize("text", ["", "127.0.0.1", ":15010", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:x", "a:70000"])
def test_an_address_needs_a_port(text: str) -> None:
    with pytest.raises(ValueError, match="is not an address and port"):
        address_of(text)


def test_addresses() -> None:
    assert address_of("127.0.0.1:80") == ("127.0.0.1", 80)
    assert address_of("[::1]:80") == ("::1", 80)
    assert address_of("control-plane.mesh:80") == ("control-plane.mesh", 80)


@pytest.mark.parametrize("text", ["a b:80", "-a:80", "a..b:80", "a/b:80", "x" * 300 + ":80"])
def test_what_is_no_host(text: str) -> None:
    with pytest.raises(ValueError, match="is neither an IP address nor a host name"):
        address_of(text)


@pytest.mark.envoy
@pytest.mark.parametrize("made", [bootstrap, in_a_pod])
def test_envoy_accepts_it(tmp_path: Path, made: Callable[[], dict[str, Any]]) -> None:
    try:
        binary = find_envoy()
    except EnvoyNotFound as error:
        pytest.skip(str(error))
    path = tmp_path / "bootstrap.json"
    path.write_text(json.dumps(made()))
    done = subprocess.run([binary, "--mode", "validate", "-c", str(path)], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr


if __name__ == "__main__":
    GOLDEN.parent.mkdir(parents=True, exist_ok=True)
    GOLDEN.write_text(json.dumps(bootstrap(), indent=2) + "\n")
