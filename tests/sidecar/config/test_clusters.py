from __future__ import annotations

from sidecar.config.clusters import Cluster, TransportSocketMatch, UpstreamTls
from sidecar.config.endpoints import Endpoint


def test_the_first_transport_match_whose_labels_are_there_decides() -> None:
    mutual, own = UpstreamTls(sni="mutual"), UpstreamTls(sni="own")
    rows = (
        TransportSocketMatch(name="a", labels={"tlsMode": "istio"}, tls=mutual),
        TransportSocketMatch(name="b", labels={"other": "x", "more": "y"}, tls=None),
    )
    cluster = Cluster(name="c", type="eds", transport_matches=rows, tls=own)
    assert cluster.tls_for({"tlsMode": "istio", "other": "x"}) is mutual
    assert cluster.tls_for({"other": "x", "more": "y"}) is None
    assert cluster.tls_for({"other": "x"}) is own
    assert cluster.tls_for({}) is own


def test_endpoints_print_as_envoy_prints_them() -> None:
    assert Endpoint(address="10.0.0.1", port=80).host_port == "10.0.0.1:80"
    assert Endpoint(address="::1", port=80).host_port == "[::1]:80"
    assert Endpoint(address="/run/app.sock", port=0).host_port == "/run/app.sock"


def test_only_healthy_endpoints_take_traffic() -> None:
    healthy = [Endpoint(address="a", port=1, health=h).healthy for h in ("healthy", "unhealthy", "draining")]
    assert healthy == [True, False, False]
