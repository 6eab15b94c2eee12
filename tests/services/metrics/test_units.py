"""Pages, flows, graph and series without a socket."""

import re
from pathlib import Path

import pytest
from envoy.config.core.v3.base_pb2 import Node
from envoy.data.accesslog.v3.accesslog_pb2 import HTTPAccessLogEntry, ResponseFlags
from envoy.extensions.filters.http.grpc_stats.v3.config_pb2 import FilterObject

from services.metrics import flows as flows_module
from services.metrics.expose import render
from services.metrics.flows import FIRST_BUCKET, REQUESTS, Flows
from services.metrics.graph import graph, quantile, summed
from services.metrics.labels import BUCKETS, Workload
from services.metrics.options import parse_options
from services.metrics.own_metrics import OwnMetrics
from services.metrics.page import PageReader, families
from services.metrics.records import FLAGS, Recorder, Reporter, short_flags
from services.metrics.series import aligned, series

DOC = Path(__file__).parents[3] / "docs" / "reference" / "metrics-api.md"
LABELS = 'reporter="source",source_workload="a",response_code="200"'


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def store(max_cells: int = 1000) -> tuple[Flows, Clock]:
    clock = Clock()
    return Flows(clock, max_cells, lambda: None), clock


def page(count: int, uptime: int = 100) -> str:
    buckets = "\n".join(
        f'istio_request_duration_milliseconds_bucket{{{LABELS},le="{bound}"}} {count if bound != "0.5" else 0}'
        for bound in ("0.5", "1", "+Inf")
    )
    return f"envoy_server_uptime{{}} {uptime}\nistio_requests_total{{{LABELS}}} {count}\n{buckets}\n"


def test_pages_count_by_what_is_added() -> None:
    made, _ = store()
    reader = PageReader(made.flow, (("instance", "i"),))
    assert reader.read(page(7), 10) == {}, "what an old proxy counted before is not of this hour"
    ((flow, cell),) = reader.read(page(10), 10).items()
    assert flow.label == {"reporter": "source", "source_workload": "a", "response_code": "200", "instance": "i"}
    assert cell[REQUESTS] == 3
    assert list(cell[FIRST_BUCKET : FIRST_BUCKET + 3]) == [0, 3, 0]
    ((_, cell),) = reader.read(page(2), 10).items()
    assert cell[REQUESTS] == 2, "the proxy began anew"
    young = PageReader(made.flow, ())
    assert [cell[REQUESTS] for cell in young.read(page(4, uptime=3), 10).values()] == [4]


def test_lines_get_the_targets_labels() -> None:
    text = '# TYPE a counter\na{} 1\na{x="y"} 2\nb 3\n'
    assert [line for _, _, line in families(text, (("i", 'q"'),))] == [
        'a{i="q\\""} 1',
        'a{x="y",i="q\\""} 2',
        'b{i="q\\""} 3',
    ]


def test_history_is_bounded_by_time_and_by_cells() -> None:
    made, clock = store(max_cells=10)
    flow = made.flow("http", (("a", "b"),))
    assert flow is not None
    for _ in range(100):
        made.request(flow, 3, 1, 2)
        clock.now += 5
    assert made.cells <= 11
    assert flow.counted()[REQUESTS] == 100, "totals stay"
    clock.now += 4000
    made.forget_idle()
    assert len(made) == 0 and made.generation == 1


def test_flows_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows_module, "MAX_FLOWS", 1)
    lost: list[int] = []
    made = Flows(Clock(), 10, lambda: lost.append(1))
    assert made.flow("tcp", (("a", "1"),)) is not None
    assert made.flow("tcp", (("a", "2"),)) is None and lost == [1]


def test_the_graph_takes_the_sending_sides_word() -> None:
    made, clock = store()
    for reporter, code, count in (("source", "200", 8), ("source", "503", 2), ("destination", "200", 8)):
        flow = made.flow("http", (
            ("reporter", reporter), ("source_workload", "a"), ("source_workload_namespace", "n"),
            ("destination_workload", "b"), ("destination_workload_namespace", "n"),
            ("destination_service", "b.n"), ("response_code", code), ("response_flags", "-"),
            ("grpc_response_status", ""),
        ))  # fmt: skip
        assert flow is not None
        for _ in range(count):
            made.request(flow, 3, 10, 20)
    found = graph(summed(made.window(0, clock.now + 1)), 10.0)
    (edge,) = found["edges"]
    assert (edge["source"], edge["destination"], edge["reporter"]) == ("a.n", "b.n", "source")
    assert (edge["http"]["requests"], edge["http"]["rate"], edge["http"]["error_rate"]) == (10, 1.0, 0.2)
    assert 1 < edge["http"]["p50"] <= 5
    assert [node["id"] for node in found["nodes"]] == ["a.n", "b.n"]
    start, step, count_ = aligned(clock.now + 5, 10, 5)
    points = series(
        made.window(0, 9e9), "istio_requests_total", ["response_code"], {"reporter": "source"}, start, step, count_
    )
    rates = {one["labels"]["response_code"]: one["points"][-1][1] for one in points}
    assert rates == {"200": 1.6, "503": 0.4}


def test_quantiles_are_prometheus() -> None:
    assert quantile([0] * 20, 0.5) is None
    assert quantile([0, 10, *[0] * 18], 0.5) == pytest.approx(0.75)
    assert quantile([*[0] * 19, 1], 0.99) == BUCKETS[-1]


def test_every_flag_of_envoy_has_its_letters() -> None:
    assert {field.name for field in ResponseFlags.DESCRIPTOR.fields} - FLAGS.keys() == set()
    assert short_flags(ResponseFlags()) == "-"
    flags = ResponseFlags(upstream_connection_failure=True, upstream_retry_limit_exceeded=True)
    assert short_flags(flags) == "URX,UF"


def test_a_grpc_request_that_arrived() -> None:
    made, _ = store()
    node = Node(id="sidecar~10.0.0.2~b-v1.n~n.svc.cluster.local")
    node.metadata.update({"LABELS": {"app": "b", "version": "v1"}, "CLUSTER_ID": "K"})
    entry = HTTPAccessLogEntry()
    common = entry.common_properties
    common.upstream_cluster = "inbound|80||"
    common.downstream_direct_remote_address.socket_address.address = "10.0.0.1"
    common.custom_tags["istio.services"] = '[{"host":"b.n.svc.cluster.local","name":"b","namespace":"n"}]'
    entry.request.request_headers["content-type"] = "application/grpc"
    entry.response.response_code.value = 200
    entry.response.response_trailers["grpc-status"] = "14"
    counted = FilterObject(request_message_count=3, response_message_count=1)
    common.filter_state_objects["envoy.filters.http.grpc_stats"].Pack(counted)
    caller = Workload(name="a-v1", namespace="n", app="a", canonical_service="a", cluster="K")
    recorder, reporter = Recorder(made, lambda: {"10.0.0.1": caller}, lambda: None), Reporter(node)
    recorder.http(reporter, entry)
    del common.filter_state_objects["envoy.filters.http.grpc_stats"]
    recorder.http(reporter, entry)
    (flow,) = made
    wanted = ("source_workload", "destination_workload", "destination_service_name", "request_protocol")
    assert [flow.label[name] for name in wanted] == ["a-v1", "b-v1", "b", "grpc"]
    assert (flow.label["grpc_response_status"], flow.label["source_canonical_revision"]) == ("14", "latest")
    assert flow.messages == (3, 1), "none of the call that was answered before it was counted"
    page = render(made, [], {})
    assert re.findall(r"^(istio_\w+_messages_total)\{.* (\d+)$", page, re.MULTILINE) == [
        ("istio_request_messages_total", "3"),
        ("istio_response_messages_total", "1"),
    ]


def test_options_say_what_is_right(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_options(["--control-plane", "127.0.0.1"])
    assert "such as http://127.20.0.1:8080" in capsys.readouterr().err


def test_every_metric_is_documented() -> None:
    exported = set(re.findall(r"^# TYPE (metrics_\w+)", OwnMetrics().render().decode(), re.MULTILINE))
    exported = {name for name in exported if not name.endswith("_created")}
    assert exported == set(re.findall(r"^\| `(metrics_\w+)`", DOC.read_text(), re.MULTILINE))
