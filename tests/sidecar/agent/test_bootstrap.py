import json
import subprocess
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


def test_the_control_plane_is_found_again() -> None:
    assert discovery_target(bootstrap()) == "127.36.0.1:15010"


@pytest.mark.parametrize("text", ["", "127.0.0.1", ":15010", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:x", "a:70000"])
def test_an_address_needs_a_port(text: str) -> None:
    with pytest.raises(ValueError, match="is not an address and port"):
        address_of(text)


def test_addresses() -> None:
    assert address_of("127.0.0.1:80") == ("127.0.0.1", 80)
    assert address_of("[::1]:80") == ("::1", 80)


@pytest.mark.envoy
def test_envoy_accepts_it(tmp_path: Path) -> None:
    try:
        binary = find_envoy()
    except EnvoyNotFound as error:
        pytest.skip(str(error))
    path = tmp_path / "bootstrap.json"
    path.write_text(json.dumps(bootstrap()))
    done = subprocess.run([binary, "--mode", "validate", "-c", str(path)], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr


if __name__ == "__main__":
    GOLDEN.parent.mkdir(parents=True, exist_ok=True)
    GOLDEN.write_text(json.dumps(bootstrap(), indent=2) + "\n")
