from __future__ import annotations

from typing import Any

from lugsail.cli.config_dump import (
    ClusterName,
    ConfigDump,
    cluster_row,
    endpoint_rows,
    inline_assignments,
    listener_rows,
    route_rows,
)

ADMIN = "type.googleapis.com/envoy.admin.v3."

CLUSTER = {
    "name": "outbound|9080|v2|reviews.default.svc.cluster.local",
    "type": "EDS",
    "metadata": {
        "filter_metadata": {
            "istio": {"config": "/apis/networking.istio.io/v1/namespaces/default/destination-rule/reviews"}
        }
    },
}
STATIC = {
    "name": "inbound|9080||",
    "type": "STATIC",
    "load_assignment": {
        "cluster_name": "inbound|9080||",
        "endpoints": [
            {
                "lb_endpoints": [
                    {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 14001}}}}
                ]
            }
        ],
    },
}
LISTENER: dict[str, Any] = {
    "name": "127.20.1.2_15080",
    "address": {"socket_address": {"address": "127.20.1.2", "port_value": 15080}},
    "filter_chains": [
        {"filters": [{"name": "hcm", "typed_config": {"rds": {"route_config_name": "15080"}}}]},
        {
            "filter_chain_match": {"server_names": ["a.com"], "transport_protocol": "tls"},
            "filters": [{"name": "tcp", "typed_config": {"cluster": "x"}}],
        },
    ],
    "default_filter_chain": {
        "filters": [
            {
                "typed_config": {
                    "weighted_clusters": {"clusters": [{"name": "a", "weight": 1}, {"name": "b", "weight": 3}]}
                }
            }
        ]
    },
}
ROUTES = {
    "name": "15080",
    "virtual_hosts": [
        {
            "name": "reviews:9080",
            "domains": ["reviews", "reviews:9080", "reviews.default", "x"],
            "routes": [
                {
                    "match": {
                        "prefix": "/",
                        "headers": [
                            {"name": "end-user", "string_match": {"exact": "jason"}},
                            {"name": "debug", "invert_match": True, "present_match": True},
                        ],
                    },
                    "route": {"cluster": CLUSTER["name"]},
                    "metadata": {
                        "filter_metadata": {
                            "istio": {"config": "/apis/networking.istio.io/v1/namespaces/shop/virtual-service/reviews"}
                        }
                    },
                },
                {"match": {"path": "/a"}, "redirect": {"host_redirect": "b", "path_redirect": "/c"}},
                {"match": {"safe_regex": {"regex": "/x.*"}}, "direct_response": {"status": 418}},
                {
                    "match": {"path_separated_prefix": "/p"},
                    "route": {
                        "weighted_clusters": {"clusters": [{"name": "a", "weight": 80}, {"name": "b", "weight": 20}]}
                    },
                },
            ],
        }
    ],
}
DUMP = ConfigDump(
    {
        "configs": [
            {"@type": ADMIN + "BootstrapConfigDump", "bootstrap": {"node": {"id": "n"}}},
            {
                "@type": ADMIN + "ClustersConfigDump",
                "static_clusters": [{"cluster": STATIC}],
                "dynamic_active_clusters": [{"version_info": "1", "cluster": CLUSTER}],
            },
            {
                "@type": ADMIN + "ListenersConfigDump",
                "dynamic_listeners": [
                    {"name": "a", "active_state": {"listener": LISTENER}},
                    {"name": "b", "error_state": {"details": "port taken"}},
                ],
            },
            {"@type": ADMIN + "RoutesConfigDump", "dynamic_route_configs": [{"route_config": ROUTES}]},
            {"@type": ADMIN + "EndpointsConfigDump", "dynamic_endpoint_configs": []},
        ]
    }
)


def test_sections() -> None:
    assert DUMP.bootstrap() == {"node": {"id": "n"}}
    assert DUMP.clusters() == [STATIC, CLUSTER]
    assert DUMP.listeners() == [LISTENER]
    assert DUMP.routes() == [ROUTES]
    assert DUMP.endpoints() == []
    assert ConfigDump({}).listeners() == []


def test_cluster_names() -> None:
    assert ClusterName.parse("outbound|9080|v2|r.d") == ClusterName("outbound", "9080", "v2", "r.d")
    assert ClusterName.parse("PassthroughCluster") == ClusterName(fqdn="PassthroughCluster")


def test_listeners() -> None:
    assert list(listener_rows(LISTENER)) == [
        ("127.20.1.2", 15080, "ALL", "Route: 15080"),
        ("127.20.1.2", 15080, "SNI: a.com; Trans: tls", "Cluster: x"),
        ("127.20.1.2", 15080, "ALL", "Clusters: a=1, b=3"),
    ]


def test_routes() -> None:
    rows = list(route_rows(ROUTES))
    assert rows[0] == (
        "15080",
        "reviews:9080",
        "x, reviews + 2 more",
        "/* [end-user=jason, !debug]",
        "outbound|9080|v2|reviews.default.svc.cluster.local",
        "reviews.shop",
    )
    assert [(row[3], row[4]) for row in rows[1:]] == [
        ("/a", "redirect b/c"),
        ("regex /x.*", "response 418"),
        ("/p(/*)", "a 80, b 20"),
    ]


def test_clusters_and_endpoints() -> None:
    assert cluster_row(CLUSTER) == (
        *("reviews.default.svc.cluster.local", "9080", "v2", "outbound", "EDS", "reviews.default"),
    )
    (assignment,) = inline_assignments(DUMP.clusters())
    assert list(endpoint_rows(assignment)) == [("127.0.0.1:14001", "HEALTHY", "inbound|9080||", 1)]
