from sidecar.codec.headers import RequestHeaders, ResponseHeaders
from sidecar.config.clusters import Cluster, Service
from sidecar.config.endpoints import Endpoint, Workload
from sidecar.telemetry import istio_metrics, response_flags
from sidecar.telemetry.istio_metrics import ConnectionRecorder, LocalWorkload, RequestRecorder
from sidecar.telemetry.peers import Peer, Peers
from sidecar.telemetry.stats import Stats
from sidecar.telemetry.stream_info import StreamInfo

HERE = LocalWorkload(
    workload="productpage-v1",
    namespace="default",
    app="productpage",
    version="v1",
    canonical_service="productpage",
    canonical_revision="v1",
    cluster_id="Kubernetes",
)
REVIEWS = Cluster(
    name="outbound|9080||reviews.default.svc.cluster.local",
    type="eds",
    services=(Service(host="reviews.default.svc.cluster.local", name="reviews", namespace="default"),),
)
REVIEWS_V2 = Endpoint(
    address="127.20.5.1",
    port=9080,
    workload=Workload(
        name="reviews-v2", namespace="default", canonical_name="reviews", canonical_revision="v2", cluster_id="Kube"
    ),
)
INBOUND = Cluster(
    name="inbound|9080||",
    type="static",
    services=(Service(host="productpage.default.svc.cluster.local", name="productpage", namespace="default"),),
)


def request(cluster: Cluster | None = REVIEWS, endpoint: Endpoint | None = REVIEWS_V2, code: int = 200) -> StreamInfo:
    info = StreamInfo(0.0, 1_000_000_000)
    info.end_ns = 1_007_200_000
    info.request_headers = RequestHeaders(b"GET", b"/reviews/0", b"reviews:9080")
    info.response_headers = ResponseHeaders(code)
    info.response_code = code
    info.bytes_received, info.bytes_sent = 3, 300
    info.cluster, info.endpoint = cluster, endpoint
    info.upstream_cluster = cluster.name if cluster is not None else ""
    info.upstream_host = endpoint.host_port if endpoint is not None else ""
    return info


def only(stats: Stats, name: str = "istio_requests_total") -> dict[str, str]:
    """The labels of the one series of this name."""
    (series,) = [counter for counter in stats.counters() if counter.name == name]
    return dict(series.labels)


def test_the_sending_side() -> None:
    stats = Stats()
    recorder = RequestRecorder(stats, HERE)
    recorder.record((request(),))
    recorder.record((request(),))
    assert only(stats) == {
        "reporter": "source",
        "source_workload": "productpage-v1",
        "source_canonical_service": "productpage",
        "source_canonical_revision": "v1",
        "source_workload_namespace": "default",
        "source_principal": "unknown",
        "source_app": "productpage",
        "source_version": "v1",
        "source_cluster": "Kubernetes",
        "destination_workload": "reviews-v2",
        "destination_canonical_service": "reviews",
        "destination_canonical_revision": "v2",
        "destination_workload_namespace": "default",
        "destination_principal": "unknown",
        "destination_app": "reviews",
        "destination_version": "v2",
        "destination_cluster": "Kube",
        "destination_service": "reviews.default.svc.cluster.local",
        "destination_service_name": "reviews",
        "destination_service_namespace": "default",
        "request_protocol": "http",
        "response_code": "200",
        "grpc_response_status": "",
        "response_flags": "-",
        "connection_security_policy": "unknown",
    }
    assert next(counter for counter in stats.counters() if counter.name == "istio_requests_total").value == 2
    sums = {histogram.name: (histogram.count, round(histogram.sum, 3)) for histogram in stats.histograms()}
    assert sums == {
        "istio_request_duration_milliseconds": (2, 14.4),
        "istio_request_bytes": (2, 6),
        "istio_response_bytes": (2, 600),
    }


def test_the_receiving_side_knows_itself_and_not_its_caller() -> None:
    stats = Stats()
    RequestRecorder(stats, HERE).record((request(INBOUND, Endpoint(address="127.0.0.1", port=19080)),))
    labels = only(stats)
    assert labels["reporter"] == "destination"
    assert labels["source_workload"] == labels["source_app"] == labels["source_cluster"] == "unknown"
    assert (labels["destination_workload"], labels["destination_version"]) == ("productpage-v1", "v1")
    assert labels["destination_service_name"] == "productpage"
    assert labels["connection_security_policy"] == "none"


def test_a_reporter_can_be_told() -> None:
    stats = Stats()
    RequestRecorder(stats, HERE, reporter="destination").record((request(None, None, 404),))
    assert only(stats)["reporter"] == "destination"


def test_without_a_cluster_the_destination_is_unknown() -> None:
    stats = Stats()
    info = request(None, None, 404)
    info.response_flags = response_flags.NO_ROUTE_FOUND
    RequestRecorder(stats, HERE).record((info,))
    labels = only(stats)
    assert (labels["destination_service"], labels["destination_service_name"]) == ("unknown", "unknown")
    assert (labels["response_code"], labels["response_flags"]) == ("404", "NR")


def test_the_clusters_of_traffic_that_is_not_in_the_registry_are_named() -> None:
    stats = Stats()
    RequestRecorder(stats, HERE).record((request(Cluster(name="PassthroughCluster", type="original_dst"), None),))
    assert only(stats)["destination_service_name"] == "PassthroughCluster"


def test_new_metadata_under_the_same_address_is_noticed() -> None:
    stats = Stats()
    recorder = RequestRecorder(stats, HERE)
    recorder.record((request(),))
    moved = Endpoint(address="127.20.5.1", port=9080, workload=Workload(name="reviews-v3", canonical_name="reviews"))
    recorder.record((request(endpoint=moved),))
    workloads = [
        dict(counter.labels)["destination_workload"]
        for counter in stats.counters()
        if counter.name == "istio_requests_total"
    ]
    assert workloads == ["reviews-v2", "reviews-v3"]


def test_grpc_is_told_by_its_content_type() -> None:
    stats = Stats()
    info = request()
    assert info.request_headers is not None and info.response_headers is not None
    info.request_headers[b"content-type"] = b"application/grpc+proto"
    info.response_headers[b"grpc-status"] = b"14"
    RequestRecorder(stats, HERE).record((info,))
    assert (only(stats)["request_protocol"], only(stats)["grpc_response_status"]) == ("grpc", "14")


def test_what_is_bound_is_bounded(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(istio_metrics, "MAX_BOUND", 2)
    stats = Stats()
    recorder = RequestRecorder(stats, HERE)
    for code in (200, 201, 202, 203, 200):
        recorder.record((request(code=code),))
    assert len(recorder._bound) <= 2
    totals = {dict(c.labels)["response_code"]: c.value for c in stats.counters() if c.name == "istio_requests_total"}
    assert totals == {"200": 2, "201": 1, "202": 1, "203": 1}


GATEWAY = Peer(
    workload="istio-ingressgateway",
    namespace="istio-system",
    app="gw",
    version="",
    canonical_service="istio-ingressgateway",
    canonical_revision="latest",
    cluster_id="Kubernetes",
)


def arrived(address: str) -> StreamInfo:
    info = request(INBOUND, Endpoint(address="127.0.0.1", port=19080))
    info.peer_address = address
    return info


def test_the_receiving_side_tells_its_caller_by_the_address() -> None:
    stats, peers = Stats(), Peers()
    peers.update({"127.20.9.1": GATEWAY}, ())
    recorder = RequestRecorder(stats, HERE, peers)
    recorder.record((arrived("127.20.9.1"),))
    labels = only(stats)
    assert {name: value for name, value in labels.items() if name.startswith("source_")} == {
        "source_workload": "istio-ingressgateway",
        "source_canonical_service": "istio-ingressgateway",
        "source_canonical_revision": "latest",
        "source_workload_namespace": "istio-system",
        "source_principal": "unknown",
        "source_app": "gw",
        "source_version": "latest",
        "source_cluster": "Kubernetes",
    }
    for number in range(300):  # whoever they are, they are one series, and one that is looked up once
        recorder.record((arrived(f"10.0.{number // 256}.{number % 256}"),))
    assert len(recorder._bound) == 2
    counts = {dict(c.labels)["source_workload"]: c.value for c in stats.counters() if c.name == "istio_requests_total"}
    assert counts == {"istio-ingressgateway": 1, "unknown": 300}


def test_an_address_that_changes_hands_is_noticed() -> None:
    stats, peers = Stats(), Peers()
    recorder = RequestRecorder(stats, HERE, peers)
    for changed, removed in (({"127.20.9.1": GATEWAY}, ()), ({}, ("127.20.9.1",)), ({"127.20.9.1": GATEWAY}, ())):
        peers.update(changed, removed)
        recorder.record((arrived("127.20.9.1"),))
    counts = {dict(c.labels)["source_workload"]: c.value for c in stats.counters() if c.name == "istio_requests_total"}
    assert counts == {"istio-ingressgateway": 2, "unknown": 1}


def test_what_is_said_of_an_endpoints_address_counts_for_it_alone() -> None:
    stats, peers = Stats(), Peers()
    theirs = Peer(
        workload="reviews-v2",
        namespace="default",
        app="app-label",
        version="version-label",
        canonical_service="reviews",
        canonical_revision="v2",
        cluster_id="Kube",
    )
    peers.update({"127.20.5.1": theirs}, ())
    RequestRecorder(stats, HERE, peers).record((request(),))
    assert (only(stats)["destination_app"], only(stats)["destination_version"]) == ("app-label", "version-label")
    stats, peers = Stats(), Peers()
    peers.update({"127.20.5.1": GATEWAY}, ())  # not yet heard that reviews-v2 is there now
    RequestRecorder(stats, HERE, peers).record((request(),))
    assert only(stats)["destination_app"] == "reviews"


def test_an_open_connection_is_counted_as_opened() -> None:
    stats = Stats()
    recorder = ConnectionRecorder(stats, HERE)
    info = request()
    info.end_ns, info.upstream_local_address = -1, "127.20.1.1:5000"
    recorder.record(info)
    assert {c.name: c.value for c in stats.counters() if c.name.startswith("istio_")} == {
        "istio_tcp_connections_opened_total": 1
    }
    info.end_ns = 5
    recorder.record(info)
    totals = {c.name: c.value for c in stats.counters() if c.name.startswith("istio_tcp_connections")}
    assert totals == {"istio_tcp_connections_opened_total": 1, "istio_tcp_connections_closed_total": 1}


def test_connections() -> None:
    stats = Stats()
    recorder = ConnectionRecorder(stats, HERE)
    info = request()
    recorder.record(info)
    totals = {counter.name: counter.value for counter in stats.counters() if counter.name.startswith("istio_")}
    assert totals == {
        "istio_tcp_connections_opened_total": 1,
        "istio_tcp_connections_closed_total": 1,
        "istio_tcp_sent_bytes_total": 300,
        "istio_tcp_received_bytes_total": 3,
    }
    assert only(stats, "istio_tcp_connections_opened_total")["request_protocol"] == "tcp"
