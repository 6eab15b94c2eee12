import pytest

from lugsail.api.gateway import ServerTLSSettings
from lugsail.api.validation.place import Place, Report
from lugsail.api.validation.server_tls import check_server_tls


def checked(**fields: object) -> Report:
    report = Report()
    check_server_tls(Place("tls", report), ServerTLSSettings.model_validate(fields))
    return report


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({"mode": "SIMPLE"}, ["tls.serverCertificate", "tls.privateKey"]),
        ({"mode": "SIMPLE", "serverCertificate": "a", "privateKey": "b"}, []),
        ({"mode": "SIMPLE", "credentialName": "c"}, []),
        ({"mode": "SIMPLE", "credentialNames": ["c", "d"]}, []),
        ({"mode": "SIMPLE", "credentialName": "c", "credentialNames": ["d"]}, ["tls.credentialNames"]),
        ({"mode": "SIMPLE", "serverCertificate": "a", "privateKey": "b", "caCrl": "x"}, ["tls.caCrl"]),
        ({"mode": "MUTUAL", "serverCertificate": "a", "privateKey": "b"}, ["tls.caCertificates"]),
        ({"mode": "OPTIONAL_MUTUAL"}, ["tls.serverCertificate", "tls.privateKey", "tls.caCertificates"]),
        ({"mode": "MUTUAL", "credentialName": "c", "caCrl": "x"}, ["tls.caCrl"]),
        ({"mode": "ISTIO_MUTUAL"}, []),
        ({"mode": "ISTIO_MUTUAL", "credentialName": "c", "privateKey": "x"}, ["tls.privateKey", "tls.credentialName"]),
        ({"mode": "PASSTHROUGH", "privateKey": "x"}, []),
    ],
)
def test_modes_and_their_certificates(fields: dict[str, object], refused: list[str]) -> None:
    assert [error.path for error in checked(**fields).errors] == refused


def test_certificates_that_do_nothing_are_warned_about() -> None:
    assert [w.path for w in checked(mode="AUTO_PASSTHROUGH", privateKey="x", caCrl="y").warnings] == [
        "tls.privateKey",
        "tls.caCrl",
    ]


def test_cipher_suites() -> None:
    suites = ["AES128-SHA", "ROT13", "AES128-SHA"]
    assert [warning.path for warning in checked(cipherSuites=suites).warnings] == [
        "tls.cipherSuites[1]",
        "tls.cipherSuites[2]",
    ]
    assert [warning.path for warning in checked(minProtocolVersion="TLSV1_1").warnings] == ["tls.minProtocolVersion"]
