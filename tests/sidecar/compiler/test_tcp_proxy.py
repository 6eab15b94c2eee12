from __future__ import annotations

import pytest
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy as TcpProxyProto

from sidecar.compiler.tcp_proxy import compile_tcp_proxy
from sidecar.config.listeners import TcpProxy, WeightedTcpCluster
from sidecar.config.rejected import At, Rejected
from tests.sidecar.compiler.protos import proto


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{stat_prefix: s, cluster: c}", TcpProxy(stat_prefix="s", cluster="c")),
        (
            "{stat_prefix: s, cluster: c, idle_timeout: 0s, max_connect_attempts: 3}",
            TcpProxy(stat_prefix="s", cluster="c", idle_timeout_ms=None, max_connect_attempts=3),
        ),
        (
            "{stat_prefix: s, weighted_clusters: {clusters: [{name: a, weight: 1}, {name: b, weight: 2}]}}",
            TcpProxy(
                stat_prefix="s",
                weighted=(WeightedTcpCluster(cluster="a", weight=1), WeightedTcpCluster(cluster="b", weight=2)),
            ),
        ),
        (
            "{stat_prefix: s, cluster: c, hash_policy: [{source_ip: {}}]}",
            TcpProxy(stat_prefix="s", cluster="c", hash_source_ip=True),
        ),
    ],
)
def test_fields(text: str, expected: TcpProxy) -> None:
    assert compile_tcp_proxy(proto(TcpProxyProto, text), At("l")) == expected


@pytest.mark.parametrize(
    ("text", "path", "reason"),
    [
        ("{cluster: c}", "stat_prefix", "empty"),
        ("{stat_prefix: s}", "", "needs a cluster"),
        (
            "{stat_prefix: s, weighted_clusters: {clusters: [{name: a}]}}",
            "weighted_clusters.clusters[0]",
            "weight of 1 or more",
        ),
        ("{stat_prefix: s, cluster: c, max_connect_attempts: 0}", "max_connect_attempts", "1 or more"),
        ("{stat_prefix: s, cluster: c, hash_policy: [{filter_state: {key: x}}]}", "hash_policy[0]", "only source_ip"),
        ("{stat_prefix: s, cluster: c, tunneling_config: {hostname: x}}", "tunneling_config", "not supported"),
        ("{stat_prefix: s, cluster: c, metadata_match: {}}", "metadata_match", "not supported"),
    ],
)
def test_refuses(text: str, path: str, reason: str) -> None:
    with pytest.raises(Rejected, match=reason) as caught:
        compile_tcp_proxy(proto(TcpProxyProto, text), At("l"))
    assert caught.value.path == path
