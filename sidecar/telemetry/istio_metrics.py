"""Istio's standard metrics: who called whom, with what answer, and how long it took.

The labels of a request follow from its cluster, its endpoint, the code and the flags. The counters and histograms for
one such combination are looked up once and kept ("bound"), so that a request costs one dict lookup and four additions.
The source is this proxy's own workload (reporter `source`), or the workload at the address that the connection came
from (reporter `destination`). The destination is this workload, or comes from the metadata that the control plane puts
on endpoints, with what it says of the workload at the endpoint's address; services come from clusters' metadata.

Source: Istio, "Standard metrics". Bytes count bodies, not heads.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sidecar.telemetry import response_flags
from sidecar.telemetry.peers import Peer, Peers
from sidecar.telemetry.stats import DEFAULT_BUCKETS, Counter, Histogram, Labels, Stats
from sidecar.telemetry.stream_info import StreamInfo

if TYPE_CHECKING:
    from sidecar.config.clusters import Cluster
    from sidecar.config.endpoints import Endpoint

Reporter = Literal["source", "destination"]

#: Cluster, host, code, flags, whether gRPC, who called.
_Key = tuple[str, str, int, int, bool, Peer | None]

UNKNOWN = "unknown"
_NOBODY = ("",) * 8
#: Combinations kept bound; when more come (a churn of endpoints), all are bound anew.
MAX_BOUND = 4096
_INBOUND_PASSTHROUGH = "InboundPassthroughCluster"
_SPECIAL_CLUSTERS = frozenset(("PassthroughCluster", "BlackHoleCluster", _INBOUND_PASSTHROUGH))


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalWorkload:
    """What this proxy's metrics say about its own side. `principal` is a SPIFFE id, or "" without mutual TLS.

    `app` and `version` are the labels of these names; without them they are the canonical service and revision.
    """

    workload: str
    namespace: str
    app: str
    version: str
    canonical_service: str
    canonical_revision: str
    cluster_id: str
    principal: str = ""


class _Bound:
    """The metrics of one combination, and the configuration objects that its labels were read from."""

    __slots__ = (
        "cluster",
        "duration",
        "durations",
        "endpoint",
        "request_bytes",
        "request_sizes",
        "requests",
        "response_bytes",
        "response_sizes",
    )

    def __init__(self, stats: Stats, labels: Labels, cluster: Cluster | None, endpoint: Endpoint | None) -> None:
        self.cluster = cluster
        self.endpoint = endpoint
        self.requests: Counter = stats.counter("istio_requests_total", labels)
        self.duration: Histogram = stats.histogram("istio_request_duration_milliseconds", labels)
        self.request_bytes: Histogram = stats.histogram("istio_request_bytes", labels)
        self.response_bytes: Histogram = stats.histogram("istio_response_bytes", labels)
        self.durations = self.duration.counts
        self.request_sizes = self.request_bytes.counts
        self.response_sizes = self.response_bytes.counts


class RequestRecorder:
    """Counts ended HTTP requests. `reporter` None: `destination` for the clusters named `inbound|…`, else `source`."""

    def __init__(
        self, stats: Stats, local: LocalWorkload, peers: Peers | None = None, reporter: Reporter | None = None
    ) -> None:
        self._stats = stats
        self._peers = peers or Peers()
        self._labels = _Labels(local, self._peers, reporter)
        self._bound: dict[_Key, _Bound] = {}

    def record(self, infos: Iterable[StreamInfo]) -> None:
        """Count requests whose `end_ns` is known."""
        find = self._bound.get
        find_peer = self._peers.by_address.get
        for info in infos:
            request = info.request_headers
            kind = request.get(b"content-type") if request is not None else None
            grpc = kind is not None and kind.startswith(b"application/grpc")
            # Unknown addresses, of which there may be any number, are all the same None.
            peer = find_peer(info.peer_address)
            key = (info.upstream_cluster, info.upstream_host, info.response_code, info.response_flags, grpc, peer)
            bound = find(key)
            if bound is None or bound.cluster is not info.cluster or bound.endpoint is not info.endpoint:
                bound = self._bind(key, info)
            bound.requests.value += 1
            # Histogram.record, written out: it saves three calls per request.
            duration_ms = (info.end_ns - info.start_ns) / 1e6
            bound.durations[bisect_left(DEFAULT_BUCKETS, duration_ms)] += 1
            bound.duration.sum += duration_ms
            size = info.bytes_received
            if size:
                bound.request_sizes[bisect_left(DEFAULT_BUCKETS, size)] += 1
                bound.request_bytes.sum += size
            else:
                bound.request_sizes[0] += 1
            size = info.bytes_sent
            bound.response_sizes[bisect_left(DEFAULT_BUCKETS, size)] += 1
            bound.response_bytes.sum += size

    def _bind(self, key: _Key, info: StreamInfo) -> _Bound:
        if len(self._bound) >= MAX_BOUND:
            self._bound.clear()
        grpc = key[4]
        labels = (
            *self._labels.of(info),
            ("request_protocol", "grpc" if grpc else "http"),
            ("response_code", str(info.response_code)),
            ("grpc_response_status", _grpc_status(info) if grpc else ""),
            ("response_flags", response_flags.short(info.response_flags)),
            ("connection_security_policy", self._labels.security_policy(info)),
        )
        bound = self._bound[key] = _Bound(self._stats, labels, info.cluster, info.endpoint)
        return bound


class ConnectionRecorder:
    """Counts plain TCP connections: when they have reached their destination, and when they have ended."""

    def __init__(
        self, stats: Stats, local: LocalWorkload, peers: Peers | None = None, reporter: Reporter | None = None
    ) -> None:
        self._stats = stats
        self._who = _Labels(local, peers or Peers(), reporter)

    def record(self, info: StreamInfo) -> None:
        """Count one connection as opened, or, where `end_ns` is known, as closed with its bytes.

        One that ends without having reached anything was opened and closed at once.
        """
        labels = self._labels(info)
        ended = info.end_ns >= 0
        if not ended or not info.upstream_local_address:
            self._stats.counter("istio_tcp_connections_opened_total", labels).value += 1
        if ended:
            self._stats.counter("istio_tcp_connections_closed_total", labels).value += 1
            self._stats.counter("istio_tcp_sent_bytes_total", labels).value += info.bytes_sent
            self._stats.counter("istio_tcp_received_bytes_total", labels).value += info.bytes_received

    def _labels(self, info: StreamInfo) -> Labels:
        return (
            *self._who.of(info),
            ("request_protocol", "tcp"),
            ("response_flags", response_flags.short(info.response_flags)),
            ("connection_security_policy", self._who.security_policy(info)),
        )


class _Labels:
    """The labels of who, to whom and to which service."""

    def __init__(self, local: LocalWorkload, peers: Peers, reporter: Reporter | None) -> None:
        self._local = local
        self._peers = peers
        self._reporter = reporter

    def of(self, info: StreamInfo) -> Labels:
        """Reporter, source, destination and service."""
        side = self._side(info)
        if side == "source":
            source, destination = _values(self._local), self._endpoint(info)
        else:
            source, destination = _values(self._peers.by_address.get(info.peer_address)), _values(self._local)
        return (
            ("reporter", side),
            *_workload_labels("source", source),
            *_workload_labels("destination", destination),
            *_service_labels(info),
        )

    def security_policy(self, info: StreamInfo) -> str:
        """Only the receiving side knows for certain; Istio's sending side says "unknown" too."""
        return "none" if self._side(info) == "destination" else UNKNOWN

    def _side(self, info: StreamInfo) -> Reporter:
        if self._reporter is not None:
            return self._reporter
        cluster = info.upstream_cluster
        return "destination" if cluster.startswith("inbound|") or cluster == _INBOUND_PASSTHROUGH else "source"

    def _endpoint(self, info: StreamInfo) -> tuple[str, ...]:
        endpoint = info.endpoint
        if endpoint is None:
            return _NOBODY
        there = endpoint.workload
        peer = self._peers.by_address.get(endpoint.address)
        if peer is not None and (peer.workload, peer.namespace) == (there.name, there.namespace):
            return _values(peer)
        name, revision = there.canonical_name, there.canonical_revision
        return (there.name, name, revision, there.namespace, "", name, revision, there.cluster_id)


def _values(who: LocalWorkload | Peer | None) -> tuple[str, ...]:
    """In the order of `_workload_labels`."""
    if who is None:
        return _NOBODY
    return (
        who.workload,
        who.canonical_service,
        who.canonical_revision,
        who.namespace,
        who.principal,
        who.app or who.canonical_service,
        who.version or who.canonical_revision,
        who.cluster_id,
    )


def _workload_labels(side: str, values: tuple[str, ...]) -> Labels:
    workload, service, revision, namespace, principal, app, version, cluster_id = (value or UNKNOWN for value in values)
    return (
        (f"{side}_workload", workload),
        (f"{side}_canonical_service", service),
        (f"{side}_canonical_revision", revision if service == UNKNOWN or revision != UNKNOWN else "latest"),
        (f"{side}_workload_namespace", namespace),
        (f"{side}_principal", principal),
        (f"{side}_app", app),
        (f"{side}_version", version),
        (f"{side}_cluster", cluster_id),
    )


def _service_labels(info: StreamInfo) -> Labels:
    host = name = namespace = UNKNOWN
    if info.cluster is not None and info.cluster.services:
        service = info.cluster.services[0]
        host, namespace = service.host or UNKNOWN, service.namespace or UNKNOWN
        # Istio's `name` is the short one; istiod gives it, or the host once more where a ServiceEntry has none.
        name = (service.name or service.host).partition(".")[0] if host.endswith(".local") else service.name or host
    elif info.upstream_cluster in _SPECIAL_CLUSTERS:
        name = info.upstream_cluster
    return (
        ("destination_service", host),
        ("destination_service_name", name),
        ("destination_service_namespace", namespace),
    )


def _grpc_status(info: StreamInfo) -> str:
    response = info.response_headers
    value = response.get(b"grpc-status") if response is not None else None
    return value.decode("latin-1") if value is not None else ""
