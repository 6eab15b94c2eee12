"""Metrics: each is documented, and each moves when it should."""

import re
from pathlib import Path

from controlplane.debug.metrics import ControlPlaneMetrics, metric_kinds
from controlplane.xds.observer import XdsObserver

DOCS = Path(__file__).parents[3] / "docs/reference/control-plane-metrics.md"


def documented() -> dict[str, str]:
    return dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", DOCS.read_text(), re.MULTILINE))


def test_every_metric_is_documented_and_every_row_is_a_metric():
    assert metric_kinds(ControlPlaneMetrics()) == documented()


def scraped(metrics: ControlPlaneMetrics) -> dict[str, float]:
    text = metrics.render().decode()
    return {k: float(v) for k, v in (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))}


def test_what_happens_is_counted_under_istios_names():
    m = ControlPlaneMetrics()
    before = scraped(m)
    assert before['pilot_xds_pushes{type="rds"}'] == 0
    m.connected(3)
    m.pushed("RDS", 500)
    m.rejected("CDS")
    m.acknowledged("RDS", 0.002)
    m.translated("LDS", 0.002)
    m.translation_failed("LDS")
    m.snapshot_failed()
    m.snapshot_built(0.01)
    m.queued(0.1)
    m.converged(0.2)
    m.send_failed("EDS")
    m.triggered({"config": 2, "registry": 1})
    m.config_event("VirtualService", "add")
    m.follow(lambda: 5, lambda: 17, lambda: 1)
    after = scraped(m)
    expected = {
        "pilot_xds": 3,
        'pilot_xds_pushes{type="rds"}': 1,
        'pilot_xds_config_size_bytes_sum{type="rds"}': 500,
        "pilot_total_xds_rejects": 1,
        "pilot_xds_cds_reject": 1,
        'pilot_xds_ack_time_count{type="rds"}': 1,
        'pilot_xds_push_time_count{type="lds"}': 1,
        "pilot_total_xds_internal_errors": 2,
        "pilot_pushcontext_init_seconds_count": 1,
        "pilot_proxy_queue_time_sum": 0.1,
        "pilot_proxy_convergence_time_sum": 0.2,
        'pilot_xds_send_errors{type="eds"}': 1,
        'pilot_push_triggers{type="config"}': 2,
        'pilot_k8s_cfg_events{event="add",type="VirtualService"}': 1,
        "pilot_services": 5,
        "lugsail_revision": 17,
        "lugsail_source_errors": 1,
    }
    assert {name: after[name] for name in expected} == expected
    assert after["process_resident_memory_bytes"] > 1_000_000


def test_every_observation_has_its_metric():
    missing = [name for name in vars(XdsObserver) if not name.startswith("_") and name not in vars(ControlPlaneMetrics)]
    assert missing == []


def test_two_planes_do_not_share_metrics():
    a, b = ControlPlaneMetrics(), ControlPlaneMetrics()
    a.connected(3)
    assert scraped(b)["pilot_xds"] == 0
