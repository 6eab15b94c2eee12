"""What is known about one request while it passes and after it ended: the input of access logs, metrics and formatters.

One mutable slotted object a request (or a TCP connection), filled in by the data path as facts appear. Times are
nanoseconds of the monotonic clock, except `start_time_s`, which is wall time. -1 or "" or None mean "not known (yet)".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sidecar.codec.headers import RequestHeaders, ResponseHeaders
    from sidecar.config.clusters import Cluster
    from sidecar.config.endpoints import Endpoint
    from sidecar.config.routes import Route


class StreamInfo:
    """Facts of one request; names follow Envoy's command operators (%RESPONSE_FLAGS%, %UPSTREAM_HOST% …)."""

    __slots__ = (
        "attempt_count",
        "bytes_received",
        "bytes_sent",
        "cluster",
        "connection_termination_details",
        "downstream_local_address",
        "downstream_remote_address",
        "end_ns",
        "endpoint",
        "peer_address",
        "protocol",
        "request_end_ns",
        "request_headers",
        "requested_server_name",
        "response_code",
        "response_code_details",
        "response_flags",
        "response_headers",
        "route",
        "start_ns",
        "start_time_s",
        "upstream_cluster",
        "upstream_first_byte_ns",
        "upstream_host",
        "upstream_local_address",
        "upstream_start_ns",
        "upstream_transport_failure_reason",
    )

    def __init__(self, start_time_s: float, start_ns: int) -> None:
        self.start_time_s = start_time_s
        self.start_ns = start_ns
        self.request_end_ns = -1
        self.end_ns = -1
        self.protocol = "HTTP/1.1"
        self.request_headers: RequestHeaders | None = None
        self.response_headers: ResponseHeaders | None = None
        self.response_code = 0
        self.response_code_details = ""
        self.response_flags = 0
        self.connection_termination_details = ""
        self.upstream_transport_failure_reason = ""
        self.bytes_received = 0
        self.bytes_sent = 0
        self.attempt_count = 0
        self.upstream_start_ns = -1
        self.upstream_first_byte_ns = -1
        self.upstream_host = ""
        self.upstream_cluster = ""
        self.upstream_local_address = ""
        self.downstream_local_address = ""
        self.downstream_remote_address = ""
        self.peer_address = ""  # the IP address of who connected, whatever headers say
        self.requested_server_name = ""
        self.route: Route | None = None
        self.cluster: Cluster | None = None
        self.endpoint: Endpoint | None = None
