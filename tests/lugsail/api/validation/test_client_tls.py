import pytest

from tests.lugsail.api.helpers import assert_refused, error_texts


def spec(tls: str) -> str:
    return f"host: a\ntrafficPolicy: {{tls: {{{tls}}}}}"


@pytest.mark.parametrize(
    "tls",
    [
        "",
        "mode: DISABLE",
        "mode: ISTIO_MUTUAL, sni: a",
        "mode: SIMPLE",
        "mode: SIMPLE, caCertificates: /ca.pem, subjectAltNames: [a]",
        "mode: SIMPLE, insecureSkipVerify: true",
        "mode: MUTUAL, credentialName: c",
        "mode: MUTUAL, clientCertificate: a, privateKey: b",
    ],
)
def test_good_settings(tls: str) -> None:
    assert error_texts("DestinationRule", spec(tls)) == []


@pytest.mark.parametrize(
    ("tls", "paths"),
    [
        ("mode: MUTUAL", ["clientCertificate", "privateKey"]),
        ("mode: SIMPLE, credentialName: c, caCertificates: x, caCrl: y", ["caCertificates", "caCrl"]),
        ("mode: SIMPLE, insecureSkipVerify: true, caCertificates: x", ["caCertificates"]),
        ("mode: SIMPLE, insecureSkipVerify: true, credentialName: x", ["credentialName"]),
        ("mode: MUTUAL, credentialName: c, insecureSkipVerify: true, subjectAltNames: [x]", ["subjectAltNames"]),
    ],
)
def test_refused_settings(tls: str, paths: list[str]) -> None:
    assert_refused("DestinationRule", spec(tls), *((f"trafficPolicy.tls.{path}", "") for path in paths))


def test_an_unknown_mode_is_refused() -> None:
    assert_refused("DestinationRule", spec("mode: MUTAL"), ("trafficPolicy.tls.mode", "did you mean MUTUAL?"))
