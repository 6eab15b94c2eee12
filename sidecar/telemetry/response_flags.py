"""Envoy's response flags: why a request did not simply get its upstream's answer.

Flags are bits of one integer, so that the data path sets them with `|=`; `short` gives the access log's spelling.
Source: Envoy, %RESPONSE_FLAGS% in the access-log documentation.
"""

from __future__ import annotations

NO_HEALTHY_UPSTREAM = 1 << 0
UPSTREAM_CONNECTION_FAILURE = 1 << 1
UPSTREAM_OVERFLOW = 1 << 2
NO_ROUTE_FOUND = 1 << 3
UPSTREAM_RETRY_LIMIT_EXCEEDED = 1 << 4
NO_CLUSTER_FOUND = 1 << 5
DOWNSTREAM_CONNECTION_TERMINATION = 1 << 6
UPSTREAM_CONNECTION_TERMINATION = 1 << 7
UPSTREAM_REQUEST_TIMEOUT = 1 << 8
UPSTREAM_LOCAL_RESET = 1 << 9
UPSTREAM_REMOTE_RESET = 1 << 10
DELAY_INJECTED = 1 << 11
FAULT_INJECTED = 1 << 12
RATE_LIMITED = 1 << 13
UNAUTHORIZED_EXTERNAL_SERVICE = 1 << 14
STREAM_IDLE_TIMEOUT = 1 << 15
DOWNSTREAM_PROTOCOL_ERROR = 1 << 16
UPSTREAM_PROTOCOL_ERROR = 1 << 17
UPSTREAM_MAX_STREAM_DURATION_REACHED = 1 << 18
DURATION_TIMEOUT = 1 << 19
LOCAL_RESET = 1 << 20
OVERLOAD_MANAGER = 1 << 21
DNS_RESOLUTION_FAILURE = 1 << 22
FAILED_LOCAL_HEALTH_CHECK = 1 << 23
DROP_OVERLOAD = 1 << 24
UNCONDITIONAL_DROP_OVERLOAD = 1 << 25

#: Bit → (the access log's letters, the name in words), as printed. Envoy prints them as they come: URX comes first.
FLAGS: dict[int, tuple[str, str]] = {
    UPSTREAM_RETRY_LIMIT_EXCEEDED: ("URX", "UpstreamRetryLimitExceeded"),
    FAILED_LOCAL_HEALTH_CHECK: ("LH", "FailedLocalHealthCheck"),
    NO_HEALTHY_UPSTREAM: ("UH", "NoHealthyUpstream"),
    UPSTREAM_REQUEST_TIMEOUT: ("UT", "UpstreamRequestTimeout"),
    LOCAL_RESET: ("LR", "LocalReset"),
    UPSTREAM_REMOTE_RESET: ("UR", "UpstreamRemoteReset"),
    UPSTREAM_CONNECTION_FAILURE: ("UF", "UpstreamConnectionFailure"),
    UPSTREAM_CONNECTION_TERMINATION: ("UC", "UpstreamConnectionTermination"),
    UPSTREAM_OVERFLOW: ("UO", "UpstreamOverflow"),
    NO_ROUTE_FOUND: ("NR", "NoRouteFound"),
    DELAY_INJECTED: ("DI", "DelayInjected"),
    FAULT_INJECTED: ("FI", "FaultInjected"),
    RATE_LIMITED: ("RL", "RateLimited"),
    UNAUTHORIZED_EXTERNAL_SERVICE: ("UAEX", "UnauthorizedExternalService"),
    DOWNSTREAM_CONNECTION_TERMINATION: ("DC", "DownstreamConnectionTermination"),
    STREAM_IDLE_TIMEOUT: ("SI", "StreamIdleTimeout"),
    DOWNSTREAM_PROTOCOL_ERROR: ("DPE", "DownstreamProtocolError"),
    UPSTREAM_PROTOCOL_ERROR: ("UPE", "UpstreamProtocolError"),
    UPSTREAM_MAX_STREAM_DURATION_REACHED: ("UMSDR", "UpstreamMaxStreamDurationReached"),
    NO_CLUSTER_FOUND: ("NC", "NoClusterFound"),
    DURATION_TIMEOUT: ("DT", "DurationTimeout"),
    OVERLOAD_MANAGER: ("OM", "OverloadManagerTerminated"),
    DNS_RESOLUTION_FAILURE: ("DF", "DnsResolutionFailed"),
    DROP_OVERLOAD: ("DO", "DropOverload"),
    UNCONDITIONAL_DROP_OVERLOAD: ("UDO", "UnconditionalDropOverload"),
    UPSTREAM_LOCAL_RESET: ("LR", "LocalReset"),
}


def short(flags: int) -> str:
    """The access log's spelling: letters joined by commas, `-` for none."""
    if not flags:
        return "-"
    return ",".join(letters for bit, (letters, _) in FLAGS.items() if flags & bit)
