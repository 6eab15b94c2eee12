"""DestinationRule.trafficPolicy.tls: TLS origination to hosts outside the mesh.

ISTIO_MUTUAL and automatic mutual TLS need the mesh's own certificates and are not here.
"""

from typing import Any

from envoy.config.core.v3 import base_pb2
from envoy.extensions.transport_sockets.proxy_protocol.v3 import upstream_proxy_protocol_pb2
from envoy.extensions.transport_sockets.raw_buffer.v3 import raw_buffer_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, tls_pb2
from envoy.type.matcher.v3 import string_pb2

from controlplane.translate.protos import any_of
from lugsail.api.destination_rule import ClientTLSSettings, ProxyProtocol

TLS_SOCKET = "envoy.transport_sockets.tls"


def apply_tls(
    cluster: Any, options: Any, tls: ClientTLSSettings | None, http2: bool, system_ca_file: str
) -> str | None:
    """Set the transport socket. Returns what could not be done, if anything.

    `options` (HttpProtocolOptions) gets SNI and name check from each request when no SNI is given.
    """
    if tls is None or tls.mode not in ("SIMPLE", "MUTUAL"):
        return None
    context = tls_pb2.UpstreamTlsContext(sni=tls.sni)
    if http2:
        context.common_tls_context.alpn_protocols.append("h2")
    if not tls.insecure_skip_verify:
        validation = context.common_tls_context.validation_context
        validation.trusted_ca.filename = tls.ca_certificates or system_ca_file
        if tls.ca_crl:
            validation.crl.filename = tls.ca_crl
        for name in tls.subject_alt_names:
            for san_type in (common_pb2.SubjectAltNameMatcher.DNS, common_pb2.SubjectAltNameMatcher.URI):
                validation.match_typed_subject_alt_names.append(
                    common_pb2.SubjectAltNameMatcher(san_type=san_type, matcher=string_pb2.StringMatcher(exact=name))
                )
    if tls.mode == "MUTUAL" and tls.client_certificate:
        certificate = context.common_tls_context.tls_certificates.add()
        certificate.certificate_chain.filename = tls.client_certificate
        certificate.private_key.filename = tls.private_key
    if not tls.sni:
        options.upstream_http_protocol_options.auto_sni = True
        if not tls.subject_alt_names and not tls.insecure_skip_verify:
            options.upstream_http_protocol_options.auto_san_validation = True
    cluster.transport_socket.CopyFrom(base_pb2.TransportSocket(name=TLS_SOCKET, typed_config=any_of(context)))
    if tls.credential_name:
        return (
            f"trafficPolicy.tls.credentialName: {tls.credential_name!r} cannot be fetched (there is no secret store "
            "yet); TLS is used with the system's CAs and without a client certificate; name files instead"
        )
    return None


def apply_proxy_protocol(cluster: Any, proxy_protocol: ProxyProtocol | None) -> None:
    """HAProxy's PROXY header in front of whatever socket the cluster has."""
    if proxy_protocol is None:
        return
    inner = base_pb2.TransportSocket()
    if cluster.HasField("transport_socket"):
        inner.CopyFrom(cluster.transport_socket)
    else:
        inner.name = "envoy.transport_sockets.raw_buffer"
        inner.typed_config.CopyFrom(any_of(raw_buffer_pb2.RawBuffer()))
    wrapper = upstream_proxy_protocol_pb2.ProxyProtocolUpstreamTransport(transport_socket=inner)
    wrapper.config.version = 1 if proxy_protocol.version == "V2" else 0
    cluster.transport_socket.CopyFrom(
        base_pb2.TransportSocket(
            name="envoy.transport_sockets.upstream_proxy_protocol", typed_config=any_of(wrapper)
        )
    )
