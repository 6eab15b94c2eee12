"""Every field of the compiled configuration is read somewhere: what nobody reads, the proxy must not have accepted.

The scan goes by names of attributes. Where several classes have a field of one name, `WHERE` says which module reads
it of which class.
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
    "Cluster.keepalive": "not acted on yet",
    "Endpoints.drop_fractions": "not acted on yet",
    "HttpConnectionManager.max_stream_duration_ms": "not acted on yet",
    "HttpConnectionManager.request_timeout_ms": "not acted on yet",
    "RouteAction.max_stream_duration_ms": "not acted on yet",
    "TcpKeepalive.interval_s": "not acted on yet",
    "TcpKeepalive.probes": "not acted on yet",
    "TcpKeepalive.time_s": "not acted on yet",
}

#: Fields whose name several classes share → the module that reads it.
WHERE = {
    "AccessLog.path": "listener/manager.py",
    "Cluster.endpoints": "upstream/cluster_manager.py",
    "Cluster.http": "upstream/pool.py",
    "Cluster.name": "upstream/cluster.py",
    "Cluster.tls": "config/clusters.py",
    "DirectResponse.status": "router/router.py",
    "Endpoint.port": "upstream/cluster.py",
    "Endpoint.weight": "upstream/host.py",
    "FilterChain.http": "listener/manager.py",
    "FilterChain.match": "listener/filter_chain_match.py",
    "FilterChain.name": "listener/manager.py",
    "HashPolicy.kind": "router/hash_policy.py",
    "HashPolicy.name": "router/hash_policy.py",
    "HashPolicy.path": "router/hash_policy.py",
    "HashPolicy.regex": "router/hash_policy.py",
    "HashPolicy.replacement": "router/hash_policy.py",
    "HeaderMatch.kind": "filters/predicates.py",
    "HeaderMatch.name": "filters/predicates.py",
    "HeaderMatch.string": "filters/predicates.py",
    "HeaderMutation.action": "router/header_mutation.py",
    "HeaderMutation.name": "router/header_mutation.py",
    "HeaderMutation.value": "router/header_mutation.py",
    "HostRewrite.kind": "router/rewrite.py",
    "HostRewrite.regex": "router/rewrite.py",
    "HostRewrite.value": "router/rewrite.py",
    "HttpConnectionManager.access_logs": "listener/manager.py",
    "HttpConnectionManager.idle_timeout_ms": "http/connection_manager.py",
    "HttpConnectionManager.max_connection_duration_ms": "http/connection_manager.py",
    "HttpConnectionManager.max_headers_count": "http/connection.py",
    "HttpConnectionManager.max_requests_per_connection": "http/connection.py",
    "HttpConnectionManager.max_stream_duration_ms": "http/connection_manager.py",
    "HttpConnectionManager.stat_prefix": "http/connection_manager.py",
    "HttpOptions.idle_timeout_ms": "upstream/pool.py",
    "HttpOptions.max_connection_duration_ms": "upstream/pool.py",
    "HttpOptions.max_headers_count": "upstream/connection.py",
    "HttpOptions.max_requests_per_connection": "upstream/pool.py",
    "Listener.name": "listener/manager.py",
    "Listener.stat_prefix": "listener/manager.py",
    "ListenerFilter.kind": "listener/dispatcher.py",
    "LoadBalancing.kind": "upstream/load_balancer.py",
    "LocalityEndpoints.endpoints": "upstream/cluster.py",
    "LocalityEndpoints.weight": "upstream/load_balancer.py",
    "MirrorPolicy.cluster": "router/mirror.py",
    "MirrorPolicy.fraction": "router/shadow.py",
    "PathRewrite.regex": "router/rewrite.py",
    "PathRewrite.replacement": "router/rewrite.py",
    "QueryMatch.name": "router/match.py",
    "QueryMatch.string": "router/match.py",
    "Redirect.host": "router/redirect.py",
    "Redirect.path": "router/redirect.py",
    "Redirect.path_rewrite": "router/redirect.py",
    "Redirect.port": "router/redirect.py",
    "Redirect.status": "router/router.py",
    "Route.action": "router/router.py",
    "Route.match": "router/match.py",
    "Route.name": "telemetry/formatter.py",
    "RouteAction.cluster": "router/router.py",
    "RouteAction.idle_timeout_ms": "http/connection_manager.py",
    "RouteAction.max_stream_duration_ms": "http/connection_manager.py",
    "RouteAction.path_rewrite": "router/rewrite.py",
    "RouteConfiguration.name": "http/route_tables.py",
    "RouteMatch.fraction": "router/match.py",
    "RouteMatch.path": "router/match.py",
    "RouteMatch.regex": "router/match.py",
    "Service.host": "telemetry/istio_metrics.py",
    "Service.name": "telemetry/istio_metrics.py",
    "Service.namespace": "telemetry/istio_metrics.py",
    "StringMatch.kind": "filters/predicates.py",
    "StringMatch.regex": "filters/predicates.py",
    "StringMatch.value": "filters/predicates.py",
    "TcpProxy.access_logs": "listener/manager.py",
    "TcpProxy.cluster": "config/listeners.py",
    "TcpProxy.idle_timeout_ms": "network/tcp_proxy.py",
    "TcpProxy.stat_prefix": "network/tcp_proxy.py",
    "TransportSocketMatch.tls": "config/clusters.py",
    "VirtualHost.name": "router/match.py",
    "VirtualHost.routes": "router/match.py",
    "WeightedSplit.routes": "router/match.py",
    "WeightedTcpCluster.cluster": "config/listeners.py",
    "WeightedTcpCluster.weight": "config/listeners.py",
    "Workload.name": "telemetry/istio_metrics.py",
    "Workload.namespace": "telemetry/istio_metrics.py",
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


@pytest.mark.parametrize(("owner", "name"), FIELDS, ids=lambda part: str(part))
def test_every_field_acts(owner: str, name: str) -> None:
    field = f"{owner}.{name}"
    if field in UNREAD:
        assert len(UNREAD[field]) > 10
    elif _NAMES.count(name) > 1:
        assert field in WHERE, f"several classes have {name!r}: say in WHERE which module reads {field}"
        assert name in READ[WHERE[field]], f"{WHERE[field]} no longer reads {field}"
    else:
        assert name in _ACTED_ON, f"nothing acts on {field}: do it, or refuse the setting in sidecar/compiler"


def test_the_tables_name_fields_that_exist() -> None:
    fields = {f"{owner}.{name}" for owner, name in FIELDS}
    assert set(WHERE) | set(UNREAD) <= fields
    assert all(_NAMES.count(field.partition(".")[2]) > 1 for field in WHERE)
