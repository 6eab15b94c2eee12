from __future__ import annotations

import pytest
from envoy.config.core.v3.base_pb2 import TransportSocket

from sidecar.compiler.upstream_tls import compile_transport_socket
from sidecar.config.clusters import UpstreamTls
from sidecar.config.rejected import At, Rejected
from tests.sidecar.compiler.protos import proto

TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
RAW = "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"


def tls(common: str, more: str = "") -> UpstreamTls | None:
    text = f"{{name: t, typed_config: {{'@type': {TLS}, common_tls_context: {common}{more}}}}}"
    return compile_transport_socket(proto(TransportSocket, text), At("r"))


def sds(secret: str) -> str:
    return f"{{combined_validation_context: {{validation_context_sds_secret_config: {{name: '{secret}'}}}}}}"


def test_plain_text() -> None:
    socket = proto(TransportSocket, f"{{name: t, typed_config: {{'@type': {RAW}}}}}")
    assert compile_transport_socket(socket, At("r")) is None


@pytest.mark.parametrize(
    ("common", "expected"),
    [
        ("{}", UpstreamTls(sni="s")),
        ("{alpn_protocols: [h2, http/1.1]}", UpstreamTls(sni="s", alpn=("http/1.1",))),
        (sds("file-root:/etc/ca.pem"), UpstreamTls(sni="s", verify=True, ca_file="/etc/ca.pem")),
        (sds("file-root:system"), UpstreamTls(sni="s", verify=True)),
        (
            "{validation_context: {trusted_ca: {filename: /ca.pem}}}",
            UpstreamTls(sni="s", verify=True, ca_file="/ca.pem"),
        ),
        (
            "{validation_context: {trusted_ca: {inline_string: PEM}}}",
            UpstreamTls(sni="s", verify=True, ca_pem=b"PEM"),
        ),
        ("{validation_context: {system_root_certs: {}}}", UpstreamTls(sni="s", verify=True)),
        ("{tls_params: {tls_minimum_protocol_version: TLSv1_3}}", UpstreamTls(sni="s", minimum_version="TLSv1_3")),
        (
            "{tls_certificates: [{certificate_chain: {filename: /c}, private_key: {filename: /k}}]}",
            UpstreamTls(sni="s", certificate_file="/c", private_key_file="/k"),
        ),
    ],
)
def test_origination(common: str, expected: UpstreamTls) -> None:
    assert tls(common, ", sni: s") == expected


def test_names_of_the_server() -> None:
    found = tls(
        "{validation_context: {match_subject_alt_names: [{exact: a}], "
        "match_typed_subject_alt_names: [{san_type: DNS, matcher: {suffix: b}}]}}"
    )
    assert found is not None
    assert [(name.kind, name.value) for name in found.match_names] == [("exact", b"a"), ("suffix", b"b")]


@pytest.mark.parametrize(
    ("common", "path", "reason"),
    [
        (
            "{tls_certificate_sds_secret_configs: [{name: default}]}",
            "tls_certificate_sds_secret_configs",
            "not supported",
        ),
        (
            sds("ROOTCA"),
            "combined_validation_context.validation_context_sds_secret_config",
            "secrets over SDS are not supported yet .'ROOTCA'",
        ),
        ("{tls_certificates: [{}, {}]}", "tls_certificates", "only one"),
        (
            "{tls_certificates: [{certificate_chain: {inline_string: x}}]}",
            "tls_certificates[0].certificate_chain",
            "only a filename",
        ),
        ("{validation_context: {trusted_ca: {}}}", "validation_context.trusted_ca", "needs a filename"),
        ("{validation_context: {crl: {filename: x}}}", "validation_context.crl", "not supported"),
    ],
)
def test_refuses(common: str, path: str, reason: str) -> None:
    with pytest.raises(Rejected, match=reason) as caught:
        tls(common)
    assert caught.value.path == f"typed_config.common_tls_context.{path}"


def test_refuses_other_sockets() -> None:
    with pytest.raises(Rejected, match=r"transport socket .*Decorator is not supported"):
        compile_transport_socket(
            proto(
                TransportSocket,
                "{name: t, typed_config: {'@type': type.googleapis.com/envoy.config.route.v3.Decorator}}",
            ),
            At("r"),
        )
