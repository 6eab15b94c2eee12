"""TLS towards upstream hosts: `ssl.SSLContext` from the compiled settings, made once per cluster and settings."""

from __future__ import annotations

import ssl

from sidecar.config.clusters import UpstreamTls
from sidecar.config.matchers import StringMatch

_VERSIONS = {
    "TLSv1_0": ssl.TLSVersion.TLSv1,
    "TLSv1_1": ssl.TLSVersion.TLSv1_1,
    "TLSv1_2": ssl.TLSVersion.TLSv1_2,
    "TLSv1_3": ssl.TLSVersion.TLSv1_3,
}


def client_context(settings: UpstreamTls) -> ssl.SSLContext:
    """The context of connections under these settings. Raises OSError or ssl.SSLError for unusable files.

    Names are not checked here but by `check_names`: Envoy accepts a list of names, none of which need be the SNI.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED if settings.verify else ssl.CERT_NONE
    context.minimum_version = _VERSIONS.get(settings.minimum_version, ssl.TLSVersion.TLSv1_2)
    context.maximum_version = _VERSIONS.get(settings.maximum_version, ssl.TLSVersion.TLSv1_3)
    if settings.verify:
        if settings.ca_file or settings.ca_pem:
            context.load_verify_locations(settings.ca_file or None, cadata=settings.ca_pem.decode() or None)
        else:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if settings.certificate_file:
        context.load_cert_chain(settings.certificate_file, settings.private_key_file or None)
    if settings.alpn:
        context.set_alpn_protocols(list(settings.alpn))
    return context


def names_match(settings: UpstreamTls, certificate: dict[str, object] | None) -> bool:
    """Whether a peer certificate (as `SSLSocket.getpeercert` gives it) bears one of the wanted names."""
    if not settings.match_names:
        return True
    names = certificate.get("subjectAltName", ()) if certificate else ()
    values = [str(value).encode() for kind, value in names if kind in ("DNS", "URI", "IP Address")]  # type: ignore
    return any(_matches(match, value) for match in settings.match_names for value in values)


def _matches(match: StringMatch, name: bytes) -> bool:
    value = name.lower() if match.ignore_case else name
    if match.kind == "exact":
        return value == match.value or _wildcard(value, match.value)
    if match.kind == "prefix":
        return value.startswith(match.value)
    if match.kind == "suffix":
        return value.endswith(match.value)
    if match.kind == "contains":
        return match.value in value
    return match.regex.fullmatch(value) is not None


def _wildcard(pattern: bytes, name: bytes) -> bool:
    """A certificate for *.example.com is good for one label before example.com (RFC 6125 6.4.3)."""
    return pattern[:2] == b"*." and name.partition(b".")[2] == pattern[2:]


def tls_error(error: ssl.SSLError) -> str:
    """%UPSTREAM_TRANSPORT_FAILURE_REASON% of a handshake that failed; the library does not always give a reason."""
    return f"TLS_error:{getattr(error, 'reason', None) or error.args[-1]}".replace(" ", "_")
