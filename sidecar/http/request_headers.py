"""What the connection manager does to request heads (Envoy: conn_manager_utility.cc, mutateRequestHeaders).

Most requests carry none of the headers that want treatment: one set operation tells (`SPECIAL`). The rest of this
module is for those that do, and for edge proxies (use_remote_address).
"""

from __future__ import annotations

import ipaddress

from sidecar.codec.headers import Headers, RequestHeaders
from sidecar.config.listeners import HttpConnectionManager

#: x-envoy-… headers that only a trusted client may set: stripped from all that are not internal.
_INTERNAL_ONLY = frozenset(
    (
        b"x-envoy-retriable-status-codes",
        b"x-envoy-retriable-header-names",
        b"x-envoy-retry-on",
        b"x-envoy-retry-grpc-on",
        b"x-envoy-max-retries",
        b"x-envoy-upstream-alt-stat-name",
        b"x-envoy-upstream-rq-timeout-ms",
        b"x-envoy-upstream-rq-per-try-timeout-ms",
        b"x-envoy-upstream-rq-timeout-alt-response",
        b"x-envoy-expected-rq-timeout-ms",
        b"x-envoy-force-trace",
        b"x-envoy-ip-tags",
        b"x-envoy-hedge-on-per-try-timeout",
    )
)
#: Stripped where the request enters the mesh.
_EDGE_ONLY = frozenset(
    (
        b"x-envoy-decorator-operation",
        b"x-envoy-downstream-service-cluster",
        b"x-envoy-downstream-service-node",
        b"x-envoy-original-path",
        b"x-envoy-original-host",
    )
)
_HOP_BY_HOP = frozenset((b"keep-alive", b"proxy-connection"))

SPECIAL = frozenset(
    (
        *_INTERNAL_ONLY,
        *_HOP_BY_HOP,
        b"connection",
        b"expect",
        b"te",
        b"upgrade",
        b"http2-settings",
        b"x-envoy-internal",
        b"x-forwarded-client-cert",
        b"x-forwarded-for",
    )
)
#: Response headers that end at this hop.
SPECIAL_RESPONSE = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"upgrade"))


def treat_special(headers: RequestHeaders, config: HttpConnectionManager, upgrading: bool) -> None:
    """Hop-by-hop headers go, and those that only internal clients may set: no address counts as internal.

    (Envoy the same, since `explicit_internal_address_config`; the compiler leaves internal_address_config aside.)
    """
    connection = headers.remove(b"connection")
    if connection is not None and not upgrading:
        _drop_named(headers, connection)
    if upgrading:
        headers[b"connection"] = connection or b"upgrade"
    else:
        headers.remove(b"upgrade")
        headers.remove(b"http2-settings")
    for name in _HOP_BY_HOP:
        headers.remove(name)
    te = headers.remove(b"te")
    if te is not None and b"trailers" in [part.strip().lower() for part in te.split(b",")]:
        headers[b"te"] = b"trailers"
    headers.remove(b"x-envoy-internal")
    if config.forward_client_cert.mode != "always_forward_only":
        headers.remove(b"x-forwarded-client-cert")
    for name in _INTERNAL_ONLY:
        headers.remove(name)


def _drop_named(headers: RequestHeaders, connection: bytes) -> None:
    """RFC 9110 7.6.1: what Connection names is for this hop alone. Names that frame or route are not ours to drop."""
    for token in connection.split(b","):
        name = token.strip().lower()
        if name and name not in _NEVER_DROPPED:
            headers.remove(name)


_NEVER_DROPPED = frozenset(
    (b"close", b"keep-alive", b"te", b"content-length", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto")
)


def treat_edge(headers: RequestHeaders, config: HttpConnectionManager, remote_ip: str, local_ip: str) -> str:
    """Where requests enter the mesh: our peer is the client. Answers the address that the client is known by."""
    trusted = ""
    if config.xff_trusted_hops:
        trusted = trusted_address(headers, config.xff_trusted_hops - 1)
    if not config.skip_xff_append:
        address = local_ip if remote_ip.startswith("127.") or remote_ip == "::1" else remote_ip
        old = headers.get(b"x-forwarded-for")
        headers.set(b"x-forwarded-for", address.encode() if old is None else old + b"," + address.encode())
    if not config.xff_trusted_hops:
        headers.set(b"x-forwarded-proto", headers.scheme)
    for name in _EDGE_ONLY:
        headers.remove(name)
    for name in _INTERNAL_ONLY:
        headers.remove(name)
    headers.set(b"x-envoy-external-address", (trusted or remote_ip).encode())
    return trusted or remote_ip


def trusted_address(headers: Headers, hops: int) -> str:
    """The address in x-forwarded-for, `hops` from the right; "" where there is none, or nonsense."""
    values = headers.get(b"x-forwarded-for", b"").split(b",")
    if hops >= len(values):
        return ""
    text = values[-1 - hops].strip().decode("latin-1")
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""
