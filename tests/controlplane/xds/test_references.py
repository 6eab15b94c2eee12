from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.listener.v3.listener_components_pb2 import Filter, FilterChain
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy

from controlplane.xds.references import ReferenceCache, referenced_names
from controlplane.xds.type_urls import CDS


def chain(config) -> FilterChain:
    made = Filter(name="f")
    made.typed_config.Pack(config)
    return FilterChain(filters=[made])


def test_clusters_name_their_endpoints():
    assert referenced_names(Cluster(name="a", type=Cluster.EDS)) == {"a"}
    assert referenced_names(Cluster(name="a", type=Cluster.EDS, eds_cluster_config={"service_name": "b"})) == {"b"}
    for kind in (Cluster.STATIC, Cluster.STRICT_DNS, Cluster.ORIGINAL_DST):
        assert referenced_names(Cluster(name="a", type=kind)) == set()


def test_listeners_name_the_routes_of_every_chain():
    listener = Listener(
        filter_chains=[
            chain(HttpConnectionManager(rds={"route_config_name": "80"})),
            chain(TcpProxy(cluster="c")),
            chain(HttpConnectionManager(route_config=RouteConfiguration(name="inline"))),
        ],
        default_filter_chain=chain(HttpConnectionManager(rds={"route_config_name": "other"})),
    )
    assert referenced_names(listener) == {"80", "other"}


def test_routes_name_nothing_to_ask_for():
    assert referenced_names(RouteConfiguration(name="a")) == set()


def test_the_cache_asks_once_per_version_and_is_bounded():
    cache = ReferenceCache(limit=2)
    first = Cluster(name="a", type=Cluster.EDS)
    assert cache.get(CDS, "a", "1", first) == {"a"}
    assert cache.get(CDS, "a", "1", Cluster(name="changed")) == {"a"}
    assert cache.get(CDS, "a", "2", Cluster(name="changed")) == set()
    for n in range(10):
        cache.get(CDS, "a", str(n), first)
    assert len(cache._known) <= 2
