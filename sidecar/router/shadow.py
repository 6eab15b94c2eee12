"""Mirroring: which of a route's mirror policies take a request, and the head of the copy."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sidecar.codec.headers import RequestHeaders
from sidecar.config.routes import MirrorPolicy


def mirrors_for(policies: Iterable[MirrorPolicy], random: Callable[[], float]) -> list[MirrorPolicy]:
    """The policies that take this request; each decides by a number in [0, 1) of its own."""
    return [policy for policy in policies if policy.fraction >= 1.0 or random() < policy.fraction]


def shadow_request(request: RequestHeaders, policy: MirrorPolicy, local_ip: bytes = b"") -> RequestHeaders:
    """A copy of the head as it goes upstream, its host marked `-shadow` (before the port) unless that is off.

    As any request that Envoy makes by itself, it says so (x-envoy-internal), and that it comes from `local_ip`.
    """
    host = request.authority
    if policy.append_shadow_suffix:
        name, colon, port = host.rpartition(b":")
        host = name + b"-shadow:" + port if colon and b"]" not in port else host + b"-shadow"
    copy = RequestHeaders(request.method, request.path, host, request.scheme)
    copy.update(request)
    if request.multi is not None:
        copy.multi = {name: list(values) for name, values in request.multi.items()}
    copy.set(b"x-envoy-internal", b"true")
    if local_ip:
        earlier = request.get(b"x-forwarded-for")
        copy.set(b"x-forwarded-for", earlier + b"," + local_ip if earlier else local_ip)
    return copy
