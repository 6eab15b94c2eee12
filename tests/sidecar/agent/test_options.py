import json
from pathlib import Path

import pytest

from sidecar.agent.options import parse_options, write_bootstrap

BASE = ["--workload", "reviews-v1", "--ip", "127.20.3.1", "--discovery", "127.20.0.1:15010"]


def test_defaults(tmp_path: Path) -> None:
    options = parse_options([*BASE, "--state-dir", str(tmp_path)])
    assert options.proxy == "python"
    assert options.admin_address == "127.20.3.1"
    assert options.identity.namespace == "default"
    assert options.identity.interception == "NONE"
    assert options.concurrency == 1


def test_everything_said(tmp_path: Path) -> None:
    options = parse_options(
        [
            *BASE, "--namespace", "istio-system", "--type", "router", "--labels", "app=gw,version=v1,empty=",
            "--service-account", "gw", "--proxy", "envoy", "--interception", "REDIRECT", "--bind-address", "127.0.0.1",
            "--state-dir", str(tmp_path / "new"), "--admin-address", "127.20.3.9", "--log-level", "debug",
            "--concurrency", "2",
        ]
    )  # fmt: skip
    identity = options.identity
    assert identity.labels == {"app": "gw", "version": "v1", "empty": ""}
    assert (identity.type, identity.service_account, identity.bind_address) == ("router", "gw", "127.0.0.1")
    bootstrap = write_bootstrap(options)
    assert json.loads((tmp_path / "new" / "bootstrap.json").read_text()) == bootstrap
    assert bootstrap["admin"]["address"]["socket_address"]["address"] == "127.20.3.9"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["bootstrap.json"]


def test_a_pod_with_a_network_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.agent.options.pod_address", lambda: "172.18.0.7")
    found = ["--workload", "x", "--ip", "auto", "--discovery", "control-plane:15010", "--state-dir", str(tmp_path)]
    for extra in ([], ["--interception", "REDIRECT", "--dns-capture"]):
        options = parse_options([*found, *extra])
        assert (options.identity.ip, options.discovery) == ("172.18.0.7", "control-plane:15010")
        assert (options.admin_address, options.pages_address) == ("127.0.0.1", "0.0.0.0")  # noqa: S104
        assert options.own_network
        assert options.identity.dns_capture == bool(extra)
    given = parse_options([*BASE, "--interception", "REDIRECT", "--state-dir", str(tmp_path)])
    assert given.own_network and given.admin_address == "127.0.0.1"
    shared = parse_options([*BASE, "--state-dir", str(tmp_path)])
    assert not shared.own_network and shared.pages_address == "127.20.3.1"


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (["--ip", "here"], "'here' is not an IP address"),
        (["--discovery", "127.0.0.1"], "is not an address and port"),
        (["--labels", "app"], "'app' is not a label such as app=reviews"),
        (["--concurrency", "0"], "'0' is not a number from 1 to 64"),
        (["--discovery", "a b:15010"], "'a b' is neither an IP address nor a host name"),
        (["--dns-capture"], "--dns-capture needs a network of the pod's own: --interception REDIRECT or --ip auto"),
        (["--proxy", "nginx"], "invalid choice: 'nginx'"),
    ],
)
def test_wrong_options_are_named(wrong: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_options([*BASE, *wrong])
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err
