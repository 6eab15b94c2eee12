"""Every field of the compiled configuration is read somewhere: what nobody reads, the proxy must not have accepted.

The scan goes by names of attributes. Where several classes have a field of one name, `WHERE` says which package
reads it of which class.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SIDECAR = Path(__file__).parents[3] / "sidecar"

#: Field → why it is there although nothing reads it.
UNREAD = {
    "Cluster.source": "names the resource behind it, for people with a debugger; changes no request",
    "Route.source": "as Cluster.source",
    "FilterChain.source": "as Cluster.source",
    "Route.virtual_host": "as Cluster.source",
    "TransportSocketMatch.name": "as Cluster.source",
}

#: Fields whose name several classes share → the package that reads it.
WHERE = {
    "AccessLog.path": "listener",
    "Cluster.endpoints": "upstream",
    "Cluster.http": "upstream",
    "Cluster.name": "upstream",
    "Cluster.tls": "config",
    "DirectResponse.status": "router",
    "Endpoint.port": "upstream",
    "Endpoint.weight": "upstream",
    "FilterChain.http": "listener",
    "FilterChain.match": "listener",
    "FilterChain.name": "listener",
    "HashPolicy.kind": "router",
    "HashPolicy.name": "router",
    "HashPolicy.path": "router",
    "HashPolicy.regex": "router",
    "HashPolicy.replacement": "router",
    "HeaderMatch.kind": "filters",
    "HeaderMatch.name": "filters",
    "HeaderMatch.string": "filters",
    "HeaderMutation.action": "router",
    "HeaderMutation.name": "router",
    "HeaderMutation.value": "router",
    "HostRewrite.kind": "router",
    "HostRewrite.regex": "router",
    "HostRewrite.value": "router",
    "HttpConnectionManager.access_logs": "listener",
    "HttpConnectionManager.idle_timeout_ms": "http",
    "HttpConnectionManager.max_connection_duration_ms": "http",
    "HttpConnectionManager.max_headers_count": "http",
    "HttpConnectionManager.max_requests_per_connection": "http",
    "HttpConnectionManager.max_stream_duration_ms": "http",
    "HttpConnectionManager.stat_prefix": "http",
    "HttpConnectionManager.tracing": "http",
    "HttpOptions.idle_timeout_ms": "upstream",
    "HttpOptions.max_connection_duration_ms": "upstream",
    "HttpOptions.max_headers_count": "upstream",
    "HttpOptions.max_requests_per_connection": "upstream",
    "Listener.name": "listener",
    "Listener.stat_prefix": "listener",
    "ListenerFilter.kind": "listener",
    "LoadBalancing.kind": "upstream",
    "LocalityEndpoints.endpoints": "upstream",
    "LocalityEndpoints.weight": "upstream",
    "MirrorPolicy.cluster": "router",
    "MirrorPolicy.fraction": "router",
    "OtelTracer.cluster": "http",
    "OtelTracer.headers": "http",
    "OtelTracer.host": "http",
    "OtelTracer.path": "http",
    "OtelTracer.timeout_ms": "http",
    "PathRewrite.regex": "router",
    "PathRewrite.replacement": "router",
    "QueryMatch.name": "router",
    "QueryMatch.string": "router",
    "Redirect.host": "router",
    "Redirect.path": "router",
    "Redirect.path_rewrite": "router",
    "Redirect.port": "router",
    "Redirect.status": "router",
    "Route.action": "router",
    "Route.match": "router",
    "Route.name": "telemetry",
    "Route.tracing": "telemetry",
    "RouteAction.cluster": "router",
    "RouteAction.idle_timeout_ms": "http",
    "RouteAction.max_stream_duration_ms": "http",
    "RouteAction.path_rewrite": "router",
    "RouteAction.timeout_ms": "router",
    "RouteConfiguration.name": "http",
    "RouteMatch.fraction": "router",
    "RouteMatch.headers": "router",
    "RouteMatch.path": "router",
    "RouteMatch.regex": "router",
    "RouteTracing.sampling": "telemetry",
    "RouteTracing.tags": "telemetry",
    "Service.host": "telemetry",
    "Service.name": "telemetry",
    "Service.namespace": "telemetry",
    "StringMatch.kind": "filters",
    "StringMatch.regex": "filters",
    "StringMatch.value": "filters",
    "TcpProxy.access_logs": "listener",
    "TcpProxy.cluster": "config",
    "TcpProxy.idle_timeout_ms": "network",
    "TcpProxy.stat_prefix": "network",
    "Tracing.sampling": "telemetry",
    "Tracing.tags": "telemetry",
    "TransportSocketMatch.tls": "config",
    "VirtualHost.name": "router",
    "VirtualHost.routes": "router",
    "WeightedSplit.routes": "router",
    "WeightedTcpCluster.cluster": "config",
    "WeightedTcpCluster.weight": "config",
    "Workload.name": "telemetry",
    "Workload.namespace": "telemetry",
    "ZipkinTracer.cluster": "http",
    "ZipkinTracer.headers": "http",
    "ZipkinTracer.host": "http",
    "ZipkinTracer.path": "http",
    "ZipkinTracer.timeout_ms": "http",
}


def _declared() -> Iterator[tuple[str, str]]:
    for path in sorted((SIDECAR / "config").glob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and any("dataclass" in ast.unparse(one) for one in node.decorator_list):
                for line in node.body:
                    if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                        yield node.name, line.target.id


def _read_in(path: Path) -> frozenset[str]:
    """The attributes that a module reads. `field=other.field` alone is copying, not reading."""
    tree = ast.parse(path.read_text())
    copies = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and isinstance(node.value, ast.Attribute) and node.value.attr == node.arg
    }
    return frozenset(
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and id(node) not in copies
    )


READ = {str(path.relative_to(SIDECAR)): _read_in(path) for path in SIDECAR.rglob("*.py")}
FIELDS = sorted(_declared())
_NAMES = [name for _, name in FIELDS]
#: What the methods of the configuration itself read counts; making the configuration does not.
_ACTED_ON = frozenset().union(
    *(names for module, names in READ.items() if module != "config/protos.py" and not module.startswith("compiler/")),
)


def _read_by(package: str) -> frozenset[str]:
    modules = (names for module, names in READ.items() if module.startswith(f"{package}/"))
    return frozenset().union(*modules)


@pytest.mark.parametrize(("owner", "name"), FIELDS, ids=lambda part: str(part))
def test_every_field_acts(owner: str, name: str) -> None:
    field = f"{owner}.{name}"
    if field in UNREAD:
        assert len(UNREAD[field]) > 10
    elif _NAMES.count(name) > 1:
        assert field in WHERE, f"several classes have {name!r}: say in WHERE which package reads {field}"
        assert name in _read_by(WHERE[field]), f"sidecar/{WHERE[field]} no longer reads {field}"
    else:
        assert name in _ACTED_ON, f"nothing acts on {field}: do it, or refuse the setting in sidecar/compiler"


def test_the_tables_name_fields_that_exist() -> None:
    fields = {f"{owner}.{name}" for owner, name in FIELDS}
    assert set(WHERE) | set(UNREAD) <= fields
    assert all(_NAMES.count(field.partition(".")[2]) > 1 for field in WHERE)
