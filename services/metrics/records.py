"""Envoy's access log entries → flows: the labels of one request or connection. Pure.

The cluster's services and the endpoint's workload come with each entry, as the tags that the control plane asks Envoys
for: they are of the moment of the request. The caller of an inbound request is known by its address.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from envoy.extensions.filters.http.grpc_stats.v3.config_pb2 import FilterObject

from services.metrics.flows import Flow, Flows
from services.metrics.labels import NOBODY, SPECIAL_CLUSTERS, UNKNOWN, Labels, Service, Workload, called, side

MAX_KNOWN = 8192
_MILLISECOND_NS = 1_000_000
_GRPC_STATS = "envoy.filters.http.grpc_stats"
_CANONICAL_NAME, _CANONICAL_REVISION = "service.istio.io/canonical-name", "service.istio.io/canonical-revision"

#: Field of envoy.data.accesslog.v3.ResponseFlags → the letters of %RESPONSE_FLAGS%, in the order Envoy prints them.
FLAGS: dict[str, str] = {
    "upstream_retry_limit_exceeded": "URX",
    "failed_local_healthcheck": "LH",
    "no_healthy_upstream": "UH",
    "upstream_request_timeout": "UT",
    "local_reset": "LR",
    "upstream_remote_reset": "UR",
    "upstream_connection_failure": "UF",
    "upstream_connection_termination": "UC",
    "upstream_overflow": "UO",
    "no_route_found": "NR",
    "delay_injected": "DI",
    "fault_injected": "FI",
    "rate_limited": "RL",
    "unauthorized_details": "UAEX",
    "rate_limit_service_error": "RLSE",
    "downstream_connection_termination": "DC",
    "stream_idle_timeout": "SI",
    "invalid_envoy_request_headers": "IH",
    "downstream_protocol_error": "DPE",
    "upstream_protocol_error": "UPE",
    "upstream_max_stream_duration_reached": "UMSDR",
    "response_from_cache_filter": "RFCF",
    "no_filter_config_found": "NFCF",
    "no_cluster_found": "NC",
    "duration_timeout": "DT",
    "overload_manager": "OM",
    "dns_resolution_failure": "DF",
    "downstream_remote_reset": "DR",
    "drop_overload": "DO",
    "unconditional_drop_overload": "UDO",
}


class Reporter:
    """The proxy that a stream of entries comes from."""

    def __init__(self, node: Any) -> None:
        """From envoy.config.core.v3.Node. Raises ValueError where it does not say who it is."""
        parts = node.id.split("~")
        if len(parts) != 4:
            raise ValueError(f"node id {node.id!r} is not TYPE~IP~WORKLOAD.NAMESPACE~DOMAIN")
        self.is_router = parts[0] == "router"
        self.ip = parts[1]
        name, _, namespace = parts[2].rpartition(".")
        fields = node.metadata.fields
        labels = {key: value.string_value for key, value in fields["LABELS"].struct_value.fields.items()}
        service = labels.get(_CANONICAL_NAME) or labels.get("app") or name
        revision = labels.get(_CANONICAL_REVISION) or labels.get("version") or "latest"
        self.workload = Workload(
            name=fields["WORKLOAD_NAME"].string_value or name,
            namespace=fields["NAMESPACE"].string_value or namespace,
            app=labels.get("app") or service,
            version=labels.get("version") or revision,
            canonical_service=service,
            canonical_revision=revision,
            cluster=fields["CLUSTER_ID"].string_value,
        )
        instance = f"[{self.ip}]:15090" if ":" in self.ip else f"{self.ip}:15090"
        self.labels: Labels = (("instance", instance),)
        self.known: dict[tuple[Any, ...], Flow | None] = {}
        self.generation = 0


class Recorder:
    """Counts entries. `by_address()` is who runs where; `unknown()` is called for callers that nobody knows."""

    def __init__(
        self, flows: Flows, by_address: Callable[[], Mapping[str, Workload]], unknown: Callable[[], None]
    ) -> None:
        self._flows = flows
        self._by_address = by_address
        self._unknown = unknown

    def http(self, reporter: Reporter, entry: Any) -> None:
        """envoy.data.accesslog.v3.HTTPAccessLogEntry."""
        common, request, response = entry.common_properties, entry.request, entry.response
        if common.intermediate_log_entry:
            return
        grpc = request.request_headers.get("content-type", "").startswith("application/grpc")
        status = ""
        if grpc:
            status = response.response_trailers.get("grpc-status") or response.response_headers.get("grpc-status", "")
        flow = self._flow(reporter, common, ("grpc" if grpc else "http", response.response_code.value, status))
        if flow is not None:
            duration = common.time_to_last_downstream_tx_byte
            if not duration.ByteSize():
                duration = common.duration
            took_ms = duration.seconds * 1000 + duration.nanos / _MILLISECOND_NS
            self._flows.request(flow, took_ms, request.request_body_bytes, response.response_body_bytes)
            if grpc:
                self._flows.messages(flow, *_messages(common))

    def tcp(self, reporter: Reporter, entry: Any) -> None:
        """envoy.data.accesslog.v3.TCPAccessLogEntry."""
        common = entry.common_properties
        if common.intermediate_log_entry:
            return
        flow = self._flow(reporter, common, ("tcp", 0, ""))
        if flow is not None:
            properties = entry.connection_properties
            self._flows.connection(flow, properties.sent_bytes, properties.received_bytes)

    def _flow(self, reporter: Reporter, common: Any, what: tuple[str, int, str]) -> Flow | None:
        if reporter.generation != self._flows.generation:
            reporter.known.clear()
            reporter.generation = self._flows.generation
        arrived = self._arrived(reporter, common)
        upstream = common.upstream_remote_address.socket_address.address
        peer = self._by_address().get(_caller(common) if arrived else upstream)
        if arrived and peer is None:
            self._unknown()
        tags = common.custom_tags
        tls = common.tls_properties.SerializeToString() if common.HasField("tls_properties") else b""
        key = (
            arrived,
            _cluster(common),
            tags.get("istio.services", ""),
            tags.get("istio.workload", ""),
            common.response_flags.SerializeToString(),
            peer,
            what,
            tls,
        )
        known = reporter.known
        if key not in known:
            if len(known) >= MAX_KNOWN:
                known.clear()
            labels = _labels(reporter, common, arrived, peer, what)
            known[key] = self._flows.flow("tcp" if what[0] == "tcp" else "http", labels)
        return known[key]

    @staticmethod
    def _arrived(reporter: Reporter, common: Any) -> bool:
        """Whether the proxy is the receiving one."""
        if told := common.custom_tags.get("istio.reporter", ""):
            return bool(told == "destination")
        cluster = common.upstream_cluster
        if cluster and cluster != "-":
            return bool(cluster.startswith("inbound|") or cluster == "InboundPassthroughCluster")
        local = common.downstream_local_address.socket_address.address
        return not reporter.is_router and bool(local == reporter.ip)


def _messages(common: Any) -> tuple[int, int]:
    """The messages of a gRPC call, there and back; none where the proxy answered before it counted."""
    counted = FilterObject()
    if _GRPC_STATS in common.filter_state_objects:
        common.filter_state_objects[_GRPC_STATS].Unpack(counted)
    return counted.request_message_count, counted.response_message_count


def _cluster(common: Any) -> str:
    """The entry's own field has it only where a host was reached."""
    return str(common.upstream_cluster or common.custom_tags.get("istio.cluster", ""))


def _caller(common: Any) -> str:
    """Who connected, whatever X-Forwarded-For says."""
    direct = common.downstream_direct_remote_address.socket_address.address
    return str(direct or common.downstream_remote_address.socket_address.address)


def _labels(
    reporter: Reporter, common: Any, arrived: bool, peer: Workload | None, what: tuple[str, int, str]
) -> Labels:
    protocol, code, status = what
    if arrived:
        ours, theirs, policy = _principals(common)
        who: Labels = (*side("source", peer or NOBODY, theirs), *side("destination", reporter.workload, ours))
    else:
        policy = UNKNOWN  # only the receiving side knows for certain
        who = (*side("source", reporter.workload), *side("destination", _destination(common, peer)))
    service = service_of(common.custom_tags.get("istio.services", ""), _cluster(common))
    answer: Labels = () if protocol == "tcp" else (("response_code", str(code)), ("grpc_response_status", status))
    return (
        ("reporter", "destination" if arrived else "source"),
        *who,
        *called(service),
        ("request_protocol", protocol),
        *answer,
        ("response_flags", short_flags(common.response_flags)),
        ("connection_security_policy", policy),
        *reporter.labels,
    )


def _principals(common: Any) -> tuple[str, str, str]:
    """Our identity, the caller's, and the policy."""
    tls = common.tls_properties
    ours, theirs = (
        next((name.uri for name in certificate.subject_alt_name if name.uri), "")
        for certificate in (tls.local_certificate_properties, tls.peer_certificate_properties)
    )
    return ours, theirs, "mutual_tls" if theirs else "none"


def _destination(common: Any, peer: Workload | None) -> Workload:
    told = workload_of(common.custom_tags.get("istio.workload", ""))
    if peer is not None and told is not NOBODY and (peer.name, peer.namespace) == (told.name, told.namespace):
        return peer
    return told


@lru_cache(maxsize=4096)
def workload_of(text: str) -> Workload:
    """`name;namespace;canonical service;revision;cluster`, as endpoints' metadata has it."""
    if not text or text == "-":
        return NOBODY
    name, namespace, service, revision, cluster = (*text.split(";"), "", "", "", "", "")[:5]
    return Workload(
        name=name,
        namespace=namespace,
        app=service,
        version=revision,
        canonical_service=service,
        canonical_revision=revision,
        cluster=cluster,
    )


@lru_cache(maxsize=4096)
def service_of(text: str, cluster: str) -> Service:
    """From the cluster's metadata, a list of services as JSON; without it from the cluster's name."""
    try:
        first = json.loads(text)[0] if text and text != "-" else None
    except (ValueError, LookupError, TypeError):
        first = None
    if isinstance(first, dict):
        host, name = str(first.get("host") or UNKNOWN), str(first.get("name") or first.get("host") or UNKNOWN)
        namespace = str(first.get("namespace") or UNKNOWN)
        return Service(host, _short(host, name), namespace)
    if cluster in SPECIAL_CLUSTERS:
        return Service(name=cluster)
    parts = cluster.split("|")
    if len(parts) == 4 and parts[3]:
        host = parts[3]
        within = host.endswith(".local") and host.count(".") >= 2
        return Service(host, _short(host, host), host.split(".")[1] if within else UNKNOWN)
    return Service()


def _short(host: str, name: str) -> str:
    return name.partition(".")[0] if host.endswith(".local") else name


def short_flags(flags: Any) -> str:
    """The access log's spelling: letters joined by commas, `-` for none."""
    found = [letters for name, letters in FLAGS.items() if _is_set(flags, name)]
    return ",".join(found) or "-"


def _is_set(flags: Any, name: str) -> bool:
    if name == "unauthorized_details":
        return bool(flags.HasField(name))
    return bool(getattr(flags, name, False))
