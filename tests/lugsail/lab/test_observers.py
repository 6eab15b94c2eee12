"""What watches the mesh: who is chosen, where it is, how it is started, and that it is told of in the registry."""

from __future__ import annotations

from pathlib import Path

import pytest

from lugsail.api.load import load_resource
from lugsail.lab import checks, mesh_config, plan, prometheus, spawn
from lugsail.lab.addressing import Subnet
from lugsail.lab.errors import LabError
from lugsail.lab.observers import OBSERVERS, PROMETHEUS, TRACING, access_log_service, observer_documents
from lugsail.lab.paths import Home
from lugsail.lab.pod import Pod, gateway_workload
from lugsail.lab.run import decode, encode

SUBNET = Subnet("127.99")


@pytest.mark.parametrize(
    ("wanted", "unwanted", "names"),
    [
        ([], [], ("tracing", "metrics")),
        (["prometheus"], ["tracing"], ("metrics", "prometheus")),
        ([], ["tracing", "metrics"], ()),
        (["metrics"], [], ("tracing", "metrics")),
    ],
)
def test_who_is_chosen(wanted: list[str], unwanted: list[str], names: tuple[str, ...]) -> None:
    assert plan.choose_observers(wanted, unwanted) == names


@pytest.mark.parametrize(
    ("wanted", "unwanted", "text"),
    [(["grafana"], [], "--with grafana"), ([], ["x"], "--without x"), (["metrics"], ["metrics"], "choose one")],
)
def test_a_choice_that_cannot_be(wanted: list[str], unwanted: list[str], text: str) -> None:
    with pytest.raises(plan.BadOption, match=text):
        plan.choose_observers(wanted, unwanted)


def test_the_registry_knows_them() -> None:
    documents = observer_documents(("tracing", "prometheus"), SUBNET)
    assert [load_resource(each).key.kind for each in documents] == ["ServiceEntry", "WorkloadEntry"] * 2
    tracing, workload = documents[:2]
    assert tracing["spec"]["hosts"] == ["tracing.istio-system.svc.cluster.local"]
    ports = {port["name"]: (port["number"], port["protocol"]) for port in tracing["spec"]["ports"]}
    assert ports["http-zipkin"] == (9411, "HTTP")
    assert ports["grpc-otlp"] == (4317, "GRPC")
    assert workload["spec"]["address"] == "127.99.0.2"
    assert workload["spec"]["labels"] == tracing["spec"]["workloadSelector"]["labels"] == {"app": "tracing"}


def test_addresses_are_apart() -> None:
    everything = {each.ip(SUBNET) for each in OBSERVERS.values()}
    assert len(everything) == len(OBSERVERS)
    assert SUBNET.control_plane_ip not in everything
    assert (
        len({document["spec"]["addresses"][0] for document in observer_documents(tuple(OBSERVERS), SUBNET)[::2]}) == 3
    )
    with pytest.raises(ValueError, match="not between"):
        SUBNET.observer_ip(1)


def test_only_a_stock_envoy_is_told_where_records_go(tmp_path: Path) -> None:
    service = access_log_service(("tracing", "metrics"), SUBNET)
    assert service == "127.99.0.3:9091"
    assert access_log_service(("tracing",), SUBNET) == ""
    flags = {
        proxy: "--access-log-service" in spawn.proxy(_pod(proxy), Home(tmp_path), "info", service).argv
        for proxy in ("python", "envoy")
    }
    assert flags == {"python": False, "envoy": True}
    assert "--access-log-service" not in spawn.proxy(_pod("envoy"), Home(tmp_path), "info", "").argv


def _pod(proxy: str) -> Pod:
    return Pod(gateway_workload(), 1, SUBNET, proxy, "router")


def test_options_survive_the_way_to_a_detached_lab(tmp_path: Path) -> None:
    options = plan.Options(
        Home(tmp_path), SUBNET, tmp_path / "app.yaml", mesh_config=tmp_path / "m.yaml", observers=("tracing",)
    )
    assert decode(encode(options)) == options
    plain = plan.Options(Home(tmp_path), SUBNET, tmp_path / "app.yaml")
    assert decode(encode(plain)) == plain


def test_a_taken_port_names_who_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "bind_error", lambda ip, port: 98 if port == 9411 else None)
    with pytest.raises(checks.CannotStart, match=r"127\.99\.0\.2:9411, where tracing will listen.*--without tracing"):
        checks.check_observer_ports([TRACING], SUBNET)


def test_the_own_mesh_config_is_kept_only_where_that_is_asked_for(tmp_path: Path) -> None:
    path = mesh_config.own_mesh_config(Home(tmp_path), keep=False)
    assert mesh_config.check_mesh_config(path) == []
    path.write_text("accessLogFile: /dev/null\n")
    assert mesh_config.own_mesh_config(Home(tmp_path), keep=True).read_text() == "accessLogFile: /dev/null\n"
    assert "extensionProviders" in mesh_config.own_mesh_config(Home(tmp_path), keep=False).read_text()


@pytest.mark.parametrize(
    ("text", "message", "code"),
    [
        (None, "There is no mesh config", 64),
        ("accessLogEncoding: XML", "accessLogEncoding", 65),
        ("[", "mesh.yaml", 65),
    ],
)
def test_a_bad_mesh_config_is_told(tmp_path: Path, text: str | None, message: str, code: int) -> None:
    path = tmp_path / "mesh.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(LabError, match=message) as found:
        mesh_config.check_mesh_config(path)
    assert found.value.exit_code == code


def test_what_has_no_effect_is_told(tmp_path: Path) -> None:
    path = tmp_path / "mesh.yaml"
    path.write_text("dnsRefreshRat: 5s\n")
    assert ["dnsRefreshRat" in text for text in mesh_config.check_mesh_config(path)] == [True]


def test_prometheus_finds_its_targets_at_the_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus.shutil, "which", lambda name: "/usr/bin/prometheus")
    what = prometheus.prepare(Home(tmp_path), SUBNET, "127.99.0.4", PROMETHEUS.page_port)
    config = (tmp_path / "prometheus/prometheus.yml").read_text()
    assert "http://127.99.0.1:8080/sd/prometheus" in config
    assert "CONTROL_PLANE" not in config
    assert what.argv[:2] == ("/usr/bin/prometheus", f"--config.file={tmp_path / 'prometheus/prometheus.yml'}")
    assert "--web.listen-address=127.99.0.4:9090" in what.argv
    rules = prometheus.at_home({"rule_files": ["rules/*.yml"]}, Path("/x"), "http://c")["rule_files"]
    assert rules == ["/x/rules/*.yml"]


def test_a_machine_without_prometheus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus.shutil, "which", lambda name: None)
    with pytest.raises(LabError, match="apt-get install prometheus"):
        prometheus.find_program()
