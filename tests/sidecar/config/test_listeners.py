from __future__ import annotations

import pytest

from sidecar.config.listeners import TcpProxy, WeightedTcpCluster


@pytest.mark.parametrize(("random", "cluster"), [(0.0, "a"), (0.24, "a"), (0.26, "b"), (0.999999, "b")])
def test_a_tcp_proxy_picks_by_weight(random: float, cluster: str) -> None:
    branches = (WeightedTcpCluster(cluster="a", weight=1), WeightedTcpCluster(cluster="b", weight=3))
    assert TcpProxy(stat_prefix="x", weighted=branches).pick(random) == cluster


def test_a_single_cluster_is_the_pick() -> None:
    assert TcpProxy(stat_prefix="x", cluster="a").pick(0.5) == "a"
