"""Shared ids, missing parents, circles, clocks, large traces; and the JSON of Jaeger's UI."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tracing.page.views import trace_view
from services.tracing.query.adjust import Node, adjust
from services.tracing.query.jaeger_json import trace_json
from services.tracing.query.otlp_json import resource_spans_json
from services.tracing.store.reader import StoredSpan
from tests.services.tracing.spans import CLIENT, SERVER, START_US, span, span_id, stored


def tree(nodes: list[Node]) -> dict[str, str]:
    """Span and kind → parent, ids as numbers."""
    names = {node.span_id: f"{node.stored.service}/{node.span.kind}" for node in nodes}
    return {names[node.span_id]: names.get(node.parent, "") for node in nodes}


def test_shared_ids_become_two_spans() -> None:
    nodes = adjust(
        [
            stored(span(1, 5, kind=CLIENT), "front"),
            stored(span(1, 5, kind=SERVER), "back"),
            stored(span(1, 6, 5, kind=CLIENT), "back"),
            stored(span(1, 6, 5, kind=SERVER), "deep"),
        ]
    )
    assert tree(nodes) == {"front/3": "", "back/2": "front/3", "back/3": "back/2", "deep/2": "back/3"}
    assert len({node.span_id for node in nodes}) == 4
    assert not any(node.warnings for node in nodes)


def test_two_servers_of_one_client_span() -> None:
    nodes = adjust(
        [
            stored(span(1, 5, kind=CLIENT), "front"),
            stored(span(1, 5, kind=SERVER), "a"),
            stored(span(1, 5, kind=SERVER, at=10), "b"),
        ]
    )
    assert tree(nodes) == {"front/3": "", "a/2": "front/3", "b/2": "front/3"}


def test_missing_parent() -> None:
    (node,) = adjust([stored(span(1, 2, 99))])
    assert node.warnings == ["parent span ID=0000000000000063 is not in the trace; skipping clock skew adjustment"]
    made = trace_json([node])["spans"][0]
    assert made["references"][0]["spanID"] == "0000000000000063"


def test_a_span_that_is_its_own_ancestor() -> None:
    spans = [stored(span(1, 1, 2)), stored(span(1, 2, 1)), stored(span(1, 3, 3)), stored(span(1, 4, 1))]
    view = trace_view(adjust(spans), True, "")
    assert len(view.rows) == 4


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 6), st.sampled_from([0, 2, 3])), min_size=1, max_size=14))
def test_any_graph_is_shown_whole(spans: list[tuple[int, int, int]]) -> None:
    found = [stored(span(1, i, p, kind=k, at=n)) for n, (i, p, k) in enumerate(spans)]
    nodes = adjust(found, 10_000_000)
    assert len(nodes) == len(spans)
    assert len(trace_view(nodes, True, "").rows) == len(spans)
    assert len(trace_json(nodes)["spans"]) == len(spans)


@pytest.mark.parametrize(
    ("parent", "child", "shift"),
    [
        ((0, 1000), (100, 500), 0),  # it fits
        ((0, 1000), (-300, 500), 550),  # before it: into the middle
        ((0, 1000), (5000, 500), -4750),
        ((0, 1000), (-300, 2000), 300),  # longer than its parent: only not before it
        ((0, 1000), (300, 2000), 0),
    ],
)
def test_clocks(parent: tuple[int, int], child: tuple[int, int], shift: int) -> None:
    spans = [
        stored(span(1, 1, at=parent[0], lasts=parent[1]), "front", "host-a"),
        stored(span(1, 2, 1, at=child[0], lasts=child[1]), "back", "host-b"),
        stored(span(1, 3, 2, at=child[0] + 1, lasts=1), "back", "host-b"),
    ]
    nodes = {node.span_id: node for node in adjust(spans, 1_000_000)}
    assert nodes[span_id(2)].start_ns == (START_US + child[0] + shift) * 1000
    assert nodes[span_id(3)].start_ns == (START_US + child[0] + 1 + shift) * 1000
    assert bool(nodes[span_id(2)].warnings) == bool(shift)
    for most, said in ((0, "clock skew adjustment disabled"), (1, "max clock skew adjustment delta of 1µs exceeded")):
        unmoved = {node.span_id: node for node in adjust(spans, most)}[span_id(2)]
        assert unmoved.start_ns == (START_US + child[0]) * 1000
        assert all(text.startswith(said) for text in unmoved.warnings)
        assert bool(unmoved.warnings) == bool(shift)


def test_clocks_of_one_host_are_right() -> None:
    spans = [stored(span(1, 1), "a", "h"), stored(span(1, 2, 1, at=-5000, lasts=5), "b", "h")]
    assert not any(node.warnings for node in adjust(spans, 10**9))


def large(count: int) -> list[StoredSpan]:
    return [stored(span(1, n, n - 1 if n % 50 else n // 2, at=n, tags={"n": str(n)})) for n in range(1, count + 1)]


def test_five_thousand_spans() -> None:
    began = time.process_time()
    nodes = adjust(large(5000), 10**6)
    found = trace_json(nodes)
    view = trace_view(nodes, False, "")
    assert len(found["spans"]) == len(view.rows) == 5000
    assert len({made["spanID"] for made in found["spans"]}) == 5000
    assert time.process_time() - began < 5


def test_a_chain_as_deep_as_a_trace_is_long() -> None:
    spans = [stored(span(1, n, n - 1, at=n)) for n in range(1, 5001)]
    view = trace_view(adjust(spans), False, "")
    assert [row.span_id for row in view.rows[:2]] == ["0000000000000001", "0000000000000002"]
    assert len(view.rows) == 5000


def test_json_of_jaegers_ui() -> None:
    made = span(0xAB, 2, 1, lasts=123, name="okey", tags={"peer.service": "x"})
    made.attributes.add(key="i").value.int_value = 7
    made.attributes.add(key="big").value.int_value = 1 << 60
    made.attributes.add(key="b").value.bool_value = False
    made.attributes.add(key="f").value.double_value = 0.5
    made.attributes.add(key="nan").value.double_value = float("nan")
    made.attributes.add(key="raw").value.bytes_value = b"\x00\x01"
    made.attributes.add(key="list").value.array_value.values.add(string_value="y")
    made.status.code, made.status.message = 2, "gone"
    made.events.add(name="e", time_unix_nano=(START_US + 5) * 1000).attributes.add(key="k").value.string_value = "v"
    made.links.add(trace_id=(0xCD).to_bytes(16, "big"), span_id=span_id(9))
    item = stored(made, "shop", "h")
    item.resource.scope_spans[0].scope.name = "lib"
    found = trace_json(adjust([item]))
    expected = {
        "traceID": "00000000000000ab",
        "spans": [
            {
                "traceID": "00000000000000ab",
                "spanID": "0000000000000002",
                "operationName": "okey",
                "references": [
                    {"refType": "CHILD_OF", "traceID": "00000000000000ab", "spanID": "0000000000000001"},
                    {"refType": "FOLLOWS_FROM", "traceID": "00000000000000cd", "spanID": "0000000000000009"},
                ],
                "startTime": START_US,
                "duration": 123,
                "tags": [
                    {"key": "otel.scope.name", "type": "string", "value": "lib"},
                    {"key": "peer.service", "type": "string", "value": "x"},
                    {"key": "i", "type": "int64", "value": 7},
                    {"key": "big", "type": "int64", "value": "1152921504606846976"},
                    {"key": "b", "type": "bool", "value": False},
                    {"key": "f", "type": "float64", "value": 0.5},
                    {"key": "nan", "type": "float64", "value": "nan"},
                    {"key": "raw", "type": "binary", "value": "AAE="},
                    {"key": "list", "type": "string", "value": '["y"]'},
                    {"key": "span.kind", "type": "string", "value": "server"},
                    {"key": "otel.status_code", "type": "string", "value": "ERROR"},
                    {"key": "error", "type": "bool", "value": True},
                    {"key": "otel.status_description", "type": "string", "value": "gone"},
                ],
                "logs": [
                    {
                        "timestamp": START_US + 5,
                        "fields": [
                            {"key": "event", "type": "string", "value": "e"},
                            {"key": "k", "type": "string", "value": "v"},
                        ],
                    }
                ],
                "processID": "p1",
                "warnings": ["parent span ID=0000000000000001 is not in the trace; skipping clock skew adjustment"],
            }
        ],
        "processes": {"p1": {"serviceName": "shop", "tags": [{"key": "host.name", "type": "string", "value": "h"}]}},
        "warnings": None,
    }
    assert found == expected
    json.dumps(found, allow_nan=False)


def test_json_of_v3() -> None:
    made = span(0xAB, 2, kind=CLIENT)
    made.links.add(trace_id=(0xCD).to_bytes(16, "big"), span_id=span_id(9))
    (found,) = resource_spans_json([adjust([stored(made)])])
    assert found["resource"]["attributes"] == [{"key": "service.name", "value": {"stringValue": "shop"}}]
    (out,) = found["scopeSpans"][0]["spans"]
    assert out["traceId"] == "0" * 30 + "ab"
    assert out["spanId"] == "0" * 15 + "2"
    assert out["kind"] == 3
    assert out["startTimeUnixNano"] == str(START_US * 1000)
    assert out["links"] == [{"traceId": "0" * 30 + "cd", "spanId": "0" * 15 + "9"}]
    assert "parentSpanId" not in out
