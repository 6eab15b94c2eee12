"""Families and labels as Envoy's own page has them, with the stats tags of our bootstrap."""

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sidecar.telemetry.prometheus import exposed_name, render
from sidecar.telemetry.stats import Stats

REVIEWS = "outbound|9080|v1|reviews.default.svc.cluster.local"


@pytest.mark.parametrize(
    ("name", "family", "labels"),
    [
        (f"cluster.{REVIEWS}.upstream_rq_total", "envoy_cluster_upstream_rq_total", (("envoy_cluster_name", REVIEWS),)),
        (
            f"cluster.{REVIEWS};.upstream_rq_total",
            "envoy_cluster_upstream_rq_total",
            (("envoy_cluster_name", REVIEWS),),
        ),
        (
            f"cluster.{REVIEWS};.upstream_rq_503",
            "envoy_cluster_upstream_rq",
            (("envoy_response_code", "503"), ("envoy_cluster_name", REVIEWS)),
        ),
        (
            f"cluster.{REVIEWS}.external.upstream_rq_2xx",
            "envoy_cluster_external_upstream_rq_xx",
            (("envoy_response_code_class", "2"), ("envoy_cluster_name", REVIEWS)),
        ),
        (
            f"cluster.{REVIEWS}.circuit_breakers.default.rq_pending_open",
            "envoy_cluster_circuit_breakers_default_rq_pending_open",
            (("envoy_cluster_name", REVIEWS),),
        ),
        (
            f"cluster.{REVIEWS}.outlier_detection.ejections_active",
            "envoy_cluster_outlier_detection_ejections_active",
            (("envoy_cluster_name", REVIEWS),),
        ),
        (
            "http.outbound_0.0.0.0_9080;.downstream_rq_4xx",
            "envoy_http_downstream_rq_xx",
            (("envoy_response_code_class", "4"), ("envoy_http_conn_manager_prefix", "outbound_0.0.0.0_9080")),
        ),
        (
            "listener.127.20.1.1_9080.downstream_cx_total",
            "envoy_listener_downstream_cx_total",
            (("envoy_listener_address", "127.20.1.1_9080"),),
        ),
        ("cluster_manager.cds.update_success", "envoy_cluster_manager_cds_update_success", ()),
        ("server.live", "envoy_server_live", ()),
        ("istio_requests_total", "istio_requests_total", ()),
    ],
)
def test_names(name: str, family: str, labels: tuple[tuple[str, str], ...]) -> None:
    assert exposed_name(name) == (family, labels)


def test_a_whole_page() -> None:
    stats = Stats()
    stats.counter("cluster.a.b.upstream_rq_200").value = 3
    stats.counter("cluster.c.upstream_rq_200").value = 1
    stats.gauge("server.live").value = 1
    histogram = stats.histogram("istio_request_duration_milliseconds", (("reporter", 'so"urce\\\n'),), (1, 5))
    for value in (0.5, 1, 3.25, 9):
        histogram.record(value)
    assert render(stats) == (
        "# TYPE envoy_cluster_upstream_rq counter\n"
        'envoy_cluster_upstream_rq{envoy_response_code="200",envoy_cluster_name="a.b"} 3\n'
        'envoy_cluster_upstream_rq{envoy_response_code="200",envoy_cluster_name="c"} 1\n'
        "# TYPE envoy_server_stats_overflow counter\n"
        "envoy_server_stats_overflow{} 0\n"
        "# TYPE envoy_server_live gauge\n"
        "envoy_server_live{} 1\n"
        "# TYPE istio_request_duration_milliseconds histogram\n"
        'istio_request_duration_milliseconds_bucket{reporter="so\\"urce\\\\\\n",le="1"} 2\n'
        'istio_request_duration_milliseconds_bucket{reporter="so\\"urce\\\\\\n",le="5"} 3\n'
        'istio_request_duration_milliseconds_bucket{reporter="so\\"urce\\\\\\n",le="+Inf"} 4\n'
        'istio_request_duration_milliseconds_sum{reporter="so\\"urce\\\\\\n"} 13.75\n'
        'istio_request_duration_milliseconds_count{reporter="so\\"urce\\\\\\n"} 4\n'
    )


def test_prometheus_reads_it() -> None:
    stats = Stats()
    stats.counter(f"cluster.{REVIEWS}.upstream_rq_total").value = 7
    stats.histogram(f"cluster.{REVIEWS}.upstream_rq_time").record(12)
    families = {family.name: family for family in text_string_to_metric_families(render(stats))}
    (sample,) = families["envoy_cluster_upstream_rq"].samples
    assert (sample.value, sample.labels) == (7, {"envoy_cluster_name": REVIEWS})
    buckets = families["envoy_cluster_upstream_rq_time"].samples
    assert [one.value for one in buckets if one.labels.get("le") in ("10", "25", "+Inf")] == [0, 1, 1]


def test_filters() -> None:
    stats = Stats()
    stats.counter("a.used").value = 1
    stats.counter("a.unused")
    stats.counter("b.used").value = 1
    stats.histogram("h.unused")
    assert render(stats, re.compile("^a"), used_only=True) == "# TYPE envoy_a_used counter\nenvoy_a_used{} 1\n"
    assert render(stats, re.compile("^none$")) == ""
