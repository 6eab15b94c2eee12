"""The rules of a listening port's TLS: Gateway `servers[].tls`, Sidecar `ingress[].tls`."""

from lugsail.api.gateway import ServerTLSSettings
from lugsail.api.validation.place import Place

# What Envoy (BoringSSL) can offer; others are dropped with a warning, as Istio does.
CIPHER_SUITES = frozenset(
    (
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
        "ECDHE-ECDSA-AES128-SHA",
        "ECDHE-RSA-AES128-SHA",
        "ECDHE-ECDSA-AES256-SHA",
        "ECDHE-RSA-AES256-SHA",
        "ECDHE-RSA-AES128-SHA256",
        "AES128-GCM-SHA256",
        "AES256-GCM-SHA384",
        "AES128-SHA",
        "AES256-SHA",
        "DES-CBC3-SHA",
    )
)
_OWN_CERTIFICATE_MODES = ("SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL")


def check_server_tls(place: Place, tls: ServerTLSSettings | None) -> None:
    """Which certificates each mode needs, and which make no sense there."""
    if tls is None:
        return
    _warn_ciphers(place, tls)
    files = {
        "serverCertificate": tls.server_certificate,
        "privateKey": tls.private_key,
        "caCertificates": tls.ca_certificates,
        "credentialName": tls.credential_name,
    }
    if tls.mode == "ISTIO_MUTUAL":
        for name, value in files.items():
            if value:
                (place / name).fail("has no place in mode ISTIO_MUTUAL", "the mesh brings its own certificates")
        return
    if tls.mode in ("PASSTHROUGH", "AUTO_PASSTHROUGH"):
        for name, value in (files | {"caCrl": tls.ca_crl}).items():
            if value:
                (place / name).warn(f"has no effect in mode {tls.mode}, which ends no TLS", "remove it")
    if tls.credential_name and tls.credential_names:
        (place / "credentialNames").fail("has no place beside credentialName", "keep one of them")
    if tls.mode in _OWN_CERTIFICATE_MODES:
        _check_own_certificates(place, tls, files)


def _check_own_certificates(place: Place, tls: ServerTLSSettings, files: dict[str, str]) -> None:
    if tls.ca_crl and tls.mode == "SIMPLE":
        (place / "caCrl").fail("has no place in mode SIMPLE, which asks clients for no certificate", "remove it")
    if tls.credential_name or tls.credential_names:
        if tls.ca_crl:
            (place / "caCrl").fail("has no place beside credentialName", "put the list into the credential")
        return
    required = ["serverCertificate", "privateKey"]
    if tls.mode != "SIMPLE":
        required.append("caCertificates")
    for name in required:
        if not files[name]:
            (place / name).fail(f"is required for mode {tls.mode}", "give a file, or credentialName")


def _warn_ciphers(place: Place, tls: ServerTLSSettings) -> None:
    if tls.min_protocol_version in ("TLSV1_0", "TLSV1_1") and not tls.cipher_suites:
        (place / "minProtocolVersion").warn("the default cipher suites need TLS 1.2", "set cipherSuites too")
    for index, suite in enumerate(tls.cipher_suites):
        here = place / "cipherSuites" / index
        if suite not in CIPHER_SUITES:
            here.warn(f"{suite!r} is not a cipher suite of the proxy; it is left out")
        elif suite in tls.cipher_suites[:index]:
            here.warn(f"{suite} is there twice", "keep one of the two")
