"""Which request headers a service passes on to the services it calls, so that traces and identities hold together.

A sidecar cannot do this: only the application knows which outgoing call belongs to which incoming request. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from multidict import CIMultiDict

# By tracing system: request id (Envoy), Zipkin B3, W3C Trace Context, OpenTracing, Datadog, Google Cloud, gRPC,
# SkyWalking.
TRACE_HEADERS = (
    "x-request-id",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "b3",
    "traceparent",
    "tracestate",
    "x-ot-span-context",
    "x-datadog-trace-id",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "x-cloud-trace-context",
    "grpc-trace-bin",
    "sw8",
)
PASSED_ON = (
    *TRACE_HEADERS,
    # What routing and authorization rules like to look at.
    "user-agent",
    "cookie",
    "authorization",
    "jwt",
)
END_USER = "end-user"


def passed_on(incoming: Mapping[str, str], extra: Iterable[str] = ()) -> CIMultiDict[str]:
    """The headers of an incoming request that its outgoing calls carry too.

    `incoming` looks names up in any case. `extra` names further headers: every service but the product page passes
    `end-user` on; the product page takes it from its session alone, so that a client cannot claim to be someone.
    """
    outgoing: CIMultiDict[str] = CIMultiDict()
    for name in (*PASSED_ON, *extra):
        value = incoming.get(name)
        if value is not None:
            outgoing[name] = value
    return outgoing


def without_traces(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """The headers without those that hold traces and requests together: what a careless app passes on."""
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in TRACE_HEADERS)
