"""The rules of `trafficPolicy.tls`."""

from lugsail.api.destination_rule import ClientTLSSettings
from lugsail.api.validation.place import Place


def check_client_tls(place: Place, tls: ClientTLSSettings | None) -> None:
    """Which certificates each mode needs and which exclude each other."""
    if tls is None:
        return
    if tls.insecure_skip_verify and tls.mode in ("SIMPLE", "MUTUAL"):
        _check_unverified(place, tls)
    if tls.mode in ("SIMPLE", "MUTUAL") and tls.credential_name:
        for name, value in (
            ("clientCertificate", tls.client_certificate),
            ("privateKey", tls.private_key),
            ("caCertificates", tls.ca_certificates),
            ("caCrl", tls.ca_crl),
        ):
            if value:
                (place / name).fail("has no place beside credentialName", "the credential holds all certificates")
        return
    if tls.mode == "MUTUAL":
        for name, value in (("clientCertificate", tls.client_certificate), ("privateKey", tls.private_key)):
            if not value:
                (place / name).fail("is required for mode MUTUAL", "give a file, or credentialName")


def _check_unverified(place: Place, tls: ClientTLSSettings) -> None:
    given = {"caCertificates": bool(tls.ca_certificates), "subjectAltNames": bool(tls.subject_alt_names)}
    if tls.mode == "SIMPLE":
        given["credentialName"] = bool(tls.credential_name)
    for name, is_there in given.items():
        if is_there:
            (place / name).fail("has no place beside insecureSkipVerify: nothing is verified", "remove one of the two")
