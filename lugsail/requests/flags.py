"""Envoy's response flags in words: what it means, the usual cause, and what to do next.

Source: Envoy, %RESPONSE_FLAGS% of the access log's documentation; the causes are those of an Istio mesh.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Meaning:
    """`short` fits behind a request; `cause` and `next` are half-sentences for somebody who asks why."""

    short: str
    cause: str
    next: str


FLAGS: dict[str, Meaning] = {
    "UF": Meaning(
        "could not connect to the upstream",
        "the app is down, or listens on another port or address; or TLS modes differ",
        "lugsail status; lugsail logs WORKLOAD",
    ),
    "UH": Meaning(
        "no healthy upstream",
        "no endpoint of the service (or subset) is ready, or all were ejected by outlier detection",
        "lugsail pc endpoints PROXY; compare the DestinationRule's subset labels",
    ),
    "NR": Meaning(
        "no route",
        "no rule of the VirtualService or gateway matches host and path",
        "lugsail pc routes PROXY; check hosts and matches",
    ),
    "NC": Meaning(
        "the route's cluster does not exist",
        "the rule names a service or subset that is not there (a DestinationRule is missing)",
        "lugsail validate; lugsail pc clusters PROXY",
    ),
    "UO": Meaning(
        "circuit breaker open",
        "more connections or requests at once than the DestinationRule's connectionPool allows",
        "see connectionPool, or slow the load",
    ),
    "URX": Meaning(
        "retries used up",
        "every attempt that the retry policy (or maxConnectAttempts) allows failed",
        "look at the upstream's own rows: --request-id ID --both",
    ),
    "UC": Meaning(
        "upstream closed the connection",
        "the app crashed or closed while it answered, or closes idle connections early",
        "lugsail logs WORKLOAD; lugsail status shows restarts",
    ),
    "UT": Meaning(
        "upstream timeout",
        "the answer took longer than the rule's timeout",
        "see timeout and perTryTimeout of the rule; a delay fault further on?",
    ),
    "UR": Meaning(
        "upstream reset the stream",
        "the app or its sidecar gave the request up",
        "the upstream's own row tells: --request-id ID --both",
    ),
    "LR": Meaning(
        "reset by this proxy",
        "the proxy gave the upstream stream up, as for a configuration change or its own limit",
        "lugsail logs WORKLOAD --proxy",
    ),
    "LH": Meaning(
        "failed its own health check",
        "the service's health check fails, so the proxy refuses",
        "lugsail logs WORKLOAD",
    ),
    "DC": Meaning(
        "client went away",
        "the caller closed before the answer was complete: its own timeout, or a closed browser",
        "compare the caller's timeout with the ms here",
    ),
    "DI": Meaning("delay injected", "fault.delay of the rule", "remove the fault from the VirtualService when done"),
    "FI": Meaning(
        "fault injected (abort)", "fault.abort of the rule", "remove the fault from the VirtualService when done"
    ),
    "RL": Meaning("rate limited", "a rate limit filter refused", "see EnvoyFilters with a ratelimit filter"),
    "RLSE": Meaning(
        "rate limit service failed", "the rate limit service did not answer, and failures are refused", "is it up?"
    ),
    "UAEX": Meaning(
        "denied by external authorization",
        "the ext_authz service said no, or did not answer",
        "the authorization service's log",
    ),
    "IH": Meaning(
        "invalid header value", "a header that Envoy reads strictly has a bad value (x-envoy-…)", "see the caller"
    ),
    "SI": Meaning("stream idle timeout", "nothing was sent for the idle timeout (5 min by default)", "see idleTimeout"),
    "DPE": Meaning(
        "client's request is not valid HTTP", "another protocol on this port, or a broken client", "see the port's name"
    ),
    "UPE": Meaning(
        "upstream's answer is not valid HTTP", "another protocol on this port than its name says", "see the port's name"
    ),
    "UMSDR": Meaning(
        "longest stream duration reached", "max_stream_duration ended the request", "see max_stream_duration"
    ),
    "DT": Meaning(
        "longest connection duration reached", "max_connection_duration ended the connection", "usually no harm"
    ),
    "OM": Meaning("overloaded proxy", "the proxy's overload manager refused", "give the proxy more memory"),
    "DF": Meaning(
        "DNS failed", "the name of an external service did not resolve", "see the ServiceEntry's hosts and endpoints"
    ),
    "NFCF": Meaning("no filter configuration", "an extension's configuration did not arrive", "lugsail proxy-status"),
    "DO": Meaning("dropped by load reporting", "drop_overload of the endpoints' policy", "see the EDS policy"),
    "UDO": Meaning("dropped, all of it", "drop_overload is 100 %", "see the EDS policy"),
    "DR": Meaning("client reset the stream", "the caller cancelled the request", "usually no harm"),
    "OFLB": Meaning("no healthy upstream, fallback", "a fallback took over for lack of hosts", "lugsail pc endpoints"),
}

UNKNOWN = Meaning("unknown flag", "this Envoy is newer than the table", "Envoy's documentation of %RESPONSE_FLAGS%")

#: For what the mesh refuses to pass on: that has no flag.
BLOCKED = "outbound traffic to unknown hosts is refused (REGISTRY_ONLY); a ServiceEntry makes the host known"


def meaning(flag: str) -> Meaning:
    """Of one flag, never missing."""
    return FLAGS.get(flag, UNKNOWN)


def is_blocked(cluster: str, route_name: str) -> bool:
    """Whether the mesh refuses to pass this on: Istio's names for that."""
    return cluster == "BlackHoleCluster" or route_name == "block_all"
