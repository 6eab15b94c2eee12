"""The Prometheus page: `istio_*` series as they are, Envoy's statistics under the names and labels Envoy gives them.

Envoy's names carry their subject (`cluster.NAME.upstream_rq_2xx`); the page wants it as a label
(`envoy_cluster_upstream_rq_xx{envoy_response_code_class="2",envoy_cluster_name="NAME"}`). The taking apart happens
here, when somebody looks, and costs requests nothing. Format: Prometheus text exposition 0.0.4.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from sidecar.telemetry.stats import Histogram, Labels, Metric, Stats

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# Names of clusters hold dots themselves, so the subject ends where a word begins that statistics start with.
_CLUSTER = re.compile(
    r"cluster\.(?P<subject>.+?);?\.(?P<rest>(?:upstream_|(?:external|internal|canary|zone)\.|lb_|membership_"
    r"|circuit_breakers\.|outlier_detection\.|retry_|update_|assignment_|bind_errors|default\.total_match"
    r"|max_host_weight|original_dst_|version$).*)"
)
_HTTP = re.compile(
    r"http\.(?P<subject>.+?);?\.(?P<rest>(?:downstream_|rq_|no_route|no_cluster|tracing\.|fault\.|passthrough_).*)"
)
_LISTENER = re.compile(
    r"listener\.(?P<subject>.+?)\.(?P<rest>(?:downstream_|http\.|no_filter_chain|ssl\.|connections_).*)"
)
_TCP = re.compile(r"tcp\.(?P<subject>.+?);?\.(?P<rest>(?:downstream_|upstream_|idle_|max_).*)")
_SUBJECTS = (
    (_CLUSTER, "cluster", "envoy_cluster_name"),
    (_HTTP, "http", "envoy_http_conn_manager_prefix"),
    (_LISTENER, "listener", "envoy_listener_address"),
    (_TCP, "tcp", "envoy_tcp_prefix"),
)
_CODE = re.compile(r"(.*_rq)_(\d{3})$")
_CODE_CLASS = re.compile(r"(.*_rq)_(\d)xx$")
_UNSAFE = re.compile(r"[^a-zA-Z0-9_:]")


def render(stats: Stats, name_filter: re.Pattern[str] | None = None, used_only: bool = False) -> str:
    """The whole page, families and series in alphabetical order. `name_filter` searches Envoy's names."""
    lines: list[str] = []
    for kind, metrics in (("counter", stats.counters()), ("gauge", stats.gauges()), ("histogram", stats.histograms())):
        for family, series in _families(metrics, name_filter, used_only):
            lines.append(f"# TYPE {family} {kind}")
            for labels, metric in series:
                _series(lines, family, labels, metric)
    return "\n".join(lines) + "\n" if lines else ""


def _families(
    metrics: Iterable[Metric], name_filter: re.Pattern[str] | None, used_only: bool
) -> list[tuple[str, list[tuple[Labels, Metric]]]]:
    families: dict[str, list[tuple[Labels, Metric]]] = {}
    for metric in metrics:
        if name_filter is not None and not name_filter.search(metric.name):
            continue
        if used_only and not is_used(metric):
            continue
        family, labels = exposed_name(metric.name)
        families.setdefault(family, []).append(((*metric.labels, *labels), metric))
    return [(family, sorted(series, key=lambda row: row[0])) for family, series in sorted(families.items())]


def is_used(metric: Metric) -> bool:
    """Whether anything was ever measured."""
    return bool(metric.count if isinstance(metric, Histogram) else metric.value)


@lru_cache(maxsize=8192)
def exposed_name(name: str) -> tuple[str, Labels]:
    """Envoy's statistic name → (Prometheus family, labels taken out of it). `istio_*` names stay."""
    if name.startswith("istio_"):
        return name, ()
    labels: Labels = ()
    for pattern, word, label in _SUBJECTS:
        match = pattern.fullmatch(name)
        if match is not None:
            name = f"{word}.{match['rest']}"
            labels = ((label, match["subject"]),)
            break
    if (match := _CODE.fullmatch(name)) is not None:
        name, labels = match[1], (("envoy_response_code", match[2]), *labels)
    elif (match := _CODE_CLASS.fullmatch(name)) is not None:
        name, labels = f"{match[1]}_xx", (("envoy_response_code_class", match[2]), *labels)
    return "envoy_" + _UNSAFE.sub("_", name), labels


def _series(lines: list[str], family: str, labels: Labels, metric: Metric) -> None:
    text = ",".join(f'{name}="{_escape(value)}"' for name, value in labels)
    if not isinstance(metric, Histogram):
        lines.append(f"{family}{{{text}}} {_number(metric.value)}")
        return
    lead = text + "," if text else ""
    seen = 0
    for bound, count in zip(metric.bounds, metric.counts, strict=False):
        seen += count
        lines.append(f'{family}_bucket{{{lead}le="{_number(bound)}"}} {seen}')
    seen += metric.counts[-1]
    lines.append(f'{family}_bucket{{{lead}le="+Inf"}} {seen}')
    lines.append(f"{family}_sum{{{text}}} {_number(metric.sum)}")
    lines.append(f"{family}_count{{{text}}} {seen}")


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(round(value, 6))
