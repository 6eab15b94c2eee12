"""The admin page over HTTP, with a real cluster manager and real accepted resources behind it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from sidecar.admin.config_dump import ConfigDump
from sidecar.admin.server import Admin, ProxyView
from sidecar.agent.bootstrap import build_bootstrap
from sidecar.agent.identity import Identity
from sidecar.config.clusters import CircuitBreakers as Breakers
from sidecar.config.clusters import Cluster, Thresholds
from sidecar.config.endpoints import Endpoint, Endpoints, Locality, LocalityEndpoints
from sidecar.upstream.cluster_manager import ClusterManager
from sidecar.xds.client import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE
from tests.sidecar.loopback import own_ip
from tests.sidecar.xds.test_client import Proxy, eds, endpoints, listener, routes

IP = own_ip(93)
ADMIN, METRICS, HEALTH = (IP, 15000), (IP, 15090), (IP, 15021)
REVIEWS = "outbound|9080||reviews.default.svc.cluster.local"


class Page:
    """The admin page of a proxy whose configuration is half good."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.initialized = True
        self.quit = asyncio.Event()
        proxy = Proxy()
        proxy.start()
        proxy.gets(CLUSTER_TYPE, "c1", eds(REVIEWS))
        proxy.gets(ENDPOINT_TYPE, "e1", endpoints(REVIEWS))
        proxy.gets(LISTENER_TYPE, "l1", listener("good", "9080"))
        proxy.gets(ROUTE_TYPE, "r1", routes("9080"))
        proxy.errors["bad"] = "cannot bind 127.0.0.1:9080"
        proxy.gets(LISTENER_TYPE, "l2", listener("good", "9080"), listener("bad", "9080"))
        self.stats = proxy.stats
        self.clusters = ClusterManager(self.stats, asyncio.get_running_loop())
        self._fill_clusters()
        identity = Identity(workload="x-v1", namespace="default", ip=ADMIN[0], labels={"app": "x"})
        bootstrap = build_bootstrap(identity, "127.0.0.1:15010", ADMIN[0])
        self.view = ProxyView(
            bootstrap=bootstrap,
            stats=self.stats,
            config_dump=ConfigDump(bootstrap, 1.0, proxy.client.resources),
            clusters=lambda: self.clusters.clusters.values(),
            listeners=lambda: [("good", "127.0.0.1", 9080)],
            initialized=lambda: self.initialized,
            drain=lambda inbound_only: self.calls.append("drain inbound" if inbound_only else "drain"),
            quit=self.quit.set,
            reopen_logs=lambda: self.calls.append("reopen"),
        )
        self.admin = Admin(self.view, admin=ADMIN, prometheus=METRICS, health=HEALTH)

    def _fill_clusters(self) -> None:
        cluster = Cluster(
            name=REVIEWS,
            type="eds",
            eds_service_name=REVIEWS,
            circuit_breakers=Breakers(default=Thresholds(max_connections=1)),
        )
        self.clusters.update_clusters({REVIEWS: cluster})
        locality = LocalityEndpoints(
            endpoints=(Endpoint(address="10.0.0.1", port=9080, weight=3), Endpoint(address="10.0.0.2", port=9080)),
            locality=Locality(region="r", zone="z"),
        )
        self.clusters.update_endpoints(Endpoints(cluster_name=REVIEWS, localities=(locality,)))
        first, second = self.clusters.clusters[REVIEWS].hosts
        first.requests_total = 5
        first.requests_timeout = 1
        first.connections_total = 2
        second.ejected = True

    async def get(self, path: str, where: tuple[str, int] = ADMIN, method: str = "GET") -> tuple[int, str]:
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, f"http://{where[0]}:{where[1]}{path}") as response,
        ):
            assert response.headers["server"] == "envoy"
            return response.status, await response.text()

    async def json(self, path: str) -> Any:
        status, text = await self.get(path)
        assert status == 200, text
        return json.loads(text)


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    made = Page()
    await made.admin.start()
    try:
        yield made
    finally:
        await made.admin.stop()
        made.clusters.close()


async def test_ready_on_both_ports(page: Page) -> None:
    assert await page.get("/ready") == (200, "LIVE\n")
    assert await page.get("/healthz/ready", HEALTH) == (200, "LIVE\n")
    page.initialized = False
    assert await page.get("/ready") == (503, "PRE_INITIALIZING\n")
    page.initialized = True
    assert await page.get("/healthcheck/fail", method="POST") == (200, "OK\n")
    assert await page.get("/healthz/ready", HEALTH) == (503, "DRAINING\n")
    await page.get("/healthcheck/ok", method="POST")
    assert await page.get("/ready") == (200, "LIVE\n")


async def test_the_small_ports_serve_nothing_else(page: Page) -> None:
    assert (await page.get("/config_dump", METRICS))[0] == 404
    assert (await page.get("/quitquitquit", HEALTH, "POST"))[0] == 404
    assert (await page.get("/stats/prometheus", METRICS))[0] == 200


async def test_the_whole_config_dump(page: Page) -> None:
    configs = (await page.json("/config_dump"))["configs"]
    assert [config["@type"].rpartition(".")[2] for config in configs] == [
        "BootstrapConfigDump",
        "ClustersConfigDump",
        "ListenersConfigDump",
        "ScopedRoutesConfigDump",
        "RoutesConfigDump",
        "SecretsConfigDump",
    ]
    bootstrap, clusters, listeners, _, route_configs, _ = configs
    assert bootstrap["bootstrap"]["node"]["id"].startswith(f"sidecar~{IP}~x-v1.default~")
    assert clusters["version_info"] == "c1"
    assert [one["cluster"]["name"] for one in clusters["static_clusters"]] == ["xds-grpc", "prometheus_stats"]
    (active,) = clusters["dynamic_active_clusters"]
    assert (active["version_info"], active["cluster"]["name"]) == ("c1", REVIEWS)
    assert active["cluster"]["@type"] == CLUSTER_TYPE
    bad, good = listeners["dynamic_listeners"]
    assert good["active_state"]["listener"]["name"] == "good"
    assert "error_state" not in good
    assert (bad["name"], bad["error_state"]["details"]) == ("bad", "cannot bind 127.0.0.1:9080")
    assert bad["error_state"]["failed_configuration"]["@type"] == LISTENER_TYPE
    assert "active_state" not in bad
    (route,) = route_configs["dynamic_route_configs"]
    assert route["route_config"]["virtual_hosts"][0]["routes"][0]["route"] == {"cluster": "a"}
    assert route["last_updated"].endswith("Z")


async def test_parts_of_the_config_dump(page: Page) -> None:
    with_eds = (await page.json("/config_dump?include_eds"))["configs"]
    assert with_eds[2]["dynamic_endpoint_configs"][0]["endpoint_config"]["cluster_name"] == REVIEWS
    only = await page.json("/config_dump?resource=dynamic_active_clusters&mask=cluster.name,version_info")
    assert only["configs"] == [
        {
            "@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump.DynamicCluster",
            "cluster": {"@type": CLUSTER_TYPE, "name": REVIEWS},
            "version_info": "c1",
        }
    ]
    named = await page.json("/config_dump?resource=static_clusters&name_regex=^xds")
    assert [one["cluster"]["name"] for one in named["configs"]] == ["xds-grpc"]
    status, text = await page.get("/config_dump?resource=nothing")
    assert status == 404
    assert "dynamic_listeners" in text


async def test_clusters_as_text(page: Page) -> None:
    lines = (await page.get("/clusters"))[1].splitlines()
    for line in (
        "default_priority::max_connections::1",
        "high_priority::max_requests::1024",
        "10.0.0.1:9080::rq_total::5",
        "10.0.0.1:9080::rq_timeout::1",
        "10.0.0.1:9080::rq_pending_active::0",
        "10.0.0.1:9080::cx_total::2",
        "10.0.0.1:9080::success_rate::-1",
        "10.0.0.1:9080::weight::3",
        "10.0.0.1:9080::health_flags::healthy",
        "10.0.0.1:9080::zone::z",
        "10.0.0.2:9080::health_flags::/failed_outlier_check",
    ):
        assert f"{REVIEWS}::{line}" in lines
    assert (await page.get("/clusters?filter=nothing")) == (200, "")


async def test_clusters_as_json(page: Page) -> None:
    (status,) = (await page.json("/clusters?format=json"))["cluster_statuses"]
    assert (status["name"], status["added_via_api"], status["eds_service_name"]) == (REVIEWS, True, REVIEWS)
    assert status["circuit_breakers"]["thresholds"][0]["max_connections"] == 1
    first, second = status["host_statuses"]
    assert first["address"] == {"socket_address": {"address": "10.0.0.1", "port_value": 9080}}
    assert {"name": "rq_total", "value": "5"} in first["stats"]
    assert first["health_status"] == {"eds_health_status": "HEALTHY"}
    assert second["health_status"]["failed_outlier_check"] is True
    assert first["locality"] == {"region": "r", "zone": "z"}


async def test_listeners(page: Page) -> None:
    assert (await page.get("/listeners"))[1].splitlines() == [
        "good::127.0.0.1:9080",
        f"health::{IP}:15021",
        f"prometheus::{IP}:15090",
    ]
    statuses = (await page.json("/listeners?format=json"))["listener_statuses"]
    assert statuses[0]["local_address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 9080}


async def test_stats(page: Page) -> None:
    page.stats.counter("a+b.used").value = 2
    page.stats.counter("a+b.unused")
    page.stats.histogram("a+b.time").record(3)
    text = (await page.get("/stats?filter=a%2Bb"))[1]
    assert text == ""  # as in Envoy: the filter is a regular expression, in which + repeats
    assert (await page.get("/stats?usedonly&filter=^a.b"))[1].splitlines()[0] == "a+b.used: 2"
    assert "P50(nan,3) " in (await page.get("/stats?filter=time"))[1]
    found = (await page.json("/stats?format=json&filter=^a.b"))["stats"]
    assert found[:2] == [{"name": "a+b.unused", "value": 0}, {"name": "a+b.used", "value": 2}]
    assert found[2]["histograms"]["computed_quantiles"][0]["name"] == "a+b.time"
    assert "envoy_a_b_used{} 2" in (await page.get("/stats?format=prometheus"))[1]
    assert await page.get("/reset_counters", method="POST") == (200, "OK\n")
    assert "a+b.used: 0" in (await page.get("/stats"))[1]


async def test_a_wrong_filter_is_told(page: Page) -> None:
    status, text = await page.get("/stats?filter=(")
    assert (status, text.startswith("Invalid regex in filter")) == (400, True)
    assert (await page.get(f"/stats?filter={'x' * 600}"))[0] == 400


@pytest.mark.parametrize(
    "path", ["/quitquitquit", "/drain_listeners", "/logging", "/reset_counters", "/healthcheck/fail"]
)
async def test_what_changes_something_needs_post(page: Page, path: str) -> None:
    assert await page.get(path) == (405, "Method GET not allowed, POST required.")
    assert page.calls == [] and not page.quit.is_set()
    assert not page.view.health_failed


async def test_actions(page: Page) -> None:
    for path in ("/drain_listeners?graceful", "/reopen_logs"):
        assert await page.get(path, method="POST") == (200, "OK\n")
    assert page.calls == ["drain", "reopen"]
    assert await page.get("/quitquitquit", method="POST") == (200, "OK\n")
    await asyncio.wait_for(page.quit.wait(), 2)


async def test_log_levels(page: Page) -> None:
    before = logging.getLogger("sidecar.xds").level
    try:
        text = (await page.get("/logging?paths=xds:debug", method="POST"))[1]
        assert "  xds: debug" in text.splitlines()
        assert logging.getLogger("sidecar.xds").level == logging.DEBUG
        status, text = await page.get("/logging?paths=nothing:debug", method="POST")
        assert (status, "nothing:debug" in text) == (400, True)
    finally:
        logging.getLogger("sidecar.xds").setLevel(before)


async def test_the_rest(page: Page) -> None:
    assert (await page.json("/certs")) == {"certificates": []}
    assert int((await page.json("/memory"))["allocated"]) > 1_000_000
    info = await page.json("/server_info")
    assert (info["state"], info["node"]["metadata"]["WORKLOAD_NAME"]) == ("LIVE", "x-v1")
    assert "/config_dump" in (await page.get("/help"))[1]
    assert "/config_dump" in (await page.get("/"))[1]
    assert (await page.get("/nothing"))[0] == 404


async def test_a_busy_port_is_named(page: Page) -> None:
    second = Admin(page.view, admin=ADMIN, prometheus=METRICS, health=HEALTH)
    with pytest.raises(OSError, match=f"can not listen on {IP}:15000: "):
        await second.start()
    await second.stop()
