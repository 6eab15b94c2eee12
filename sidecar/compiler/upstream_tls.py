"""Transport sockets of clusters: raw buffer, and TLS origination (Istio's SIMPLE: sni, a CA, no client certificate).

Certificates over SDS are not supported yet, but for Istio's names of files (`file-root:PATH`, `file-root:system`).
"""

from __future__ import annotations

from typing import Any

from envoy.extensions.transport_sockets.raw_buffer.v3.raw_buffer_pb2 import RawBuffer
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import CommonTlsContext, UpstreamTlsContext

from sidecar.compiler.ignored import check
from sidecar.config.clusters import UpstreamTls
from sidecar.config.matchers import StringMatch
from sidecar.config.protos import string_match, unpack
from sidecar.config.rejected import At

_RAW = RawBuffer.DESCRIPTOR.full_name
_TLS = UpstreamTlsContext.DESCRIPTOR.full_name
_FILE_ROOT = "file-root:"
_VERSIONS = ("", "TLSv1_0", "TLSv1_1", "TLSv1_2", "TLSv1_3")
_VALIDATION_FIELDS = ("trusted_ca", "system_root_certs", "match_subject_alt_names", "match_typed_subject_alt_names")


def compile_transport_socket(socket: Any, at: At) -> UpstreamTls | None:
    """envoy.config.core.v3.TransportSocket of a cluster; None is plain text."""
    place = at.field("typed_config")
    kind = socket.typed_config.type_url.rpartition("/")[2]
    if kind == _RAW:
        return None
    if kind != _TLS:
        place.reject(
            f"the transport socket {kind or 'none'} is not supported by this proxy; only raw_buffer and tls are"
        )
    context = unpack(socket.typed_config, UpstreamTlsContext, place)
    check(context, ("common_tls_context", "sni"), place)
    common, place = context.common_tls_context, place.field("common_tls_context")
    check(
        common,
        ("tls_params", "tls_certificates", "validation_context", "combined_validation_context", "alpn_protocols"),
        place,
    )
    values = _validation(common, place)
    if len(common.tls_certificates) > 1:
        place.field("tls_certificates").reject("only one client certificate is supported")
    for certificate in common.tls_certificates:
        inside = place.field("tls_certificates", 0)
        check(certificate, ("certificate_chain", "private_key"), inside)
        values["certificate_file"] = _file(certificate.certificate_chain, inside.field("certificate_chain"))
        values["private_key_file"] = _file(certificate.private_key, inside.field("private_key"))
    parameters = common.tls_params
    check(parameters, ("tls_minimum_protocol_version", "tls_maximum_protocol_version"), place.field("tls_params"))
    if list(common.alpn_protocols) == ["h2"]:
        place.field("alpn_protocols").reject("HTTP/2 is not spoken by this proxy yet; h2 may only stand beside others")
    return UpstreamTls(
        sni=context.sni,
        alpn=tuple(name for name in common.alpn_protocols if name != "h2"),
        minimum_version=_VERSIONS[parameters.tls_minimum_protocol_version] or "TLSv1_2",
        maximum_version=_VERSIONS[parameters.tls_maximum_protocol_version] or "TLSv1_3",
        **values,
    )


def _validation(common: CommonTlsContext, at: At) -> dict[str, Any]:
    """What is asked of the server's certificate, as fields of UpstreamTls."""
    kind = common.WhichOneof("validation_context_type")
    if kind is None:
        return {"verify": False}
    if kind == "validation_context":
        return _context(common.validation_context, at.field(kind))
    combined, place = common.combined_validation_context, at.field(kind)
    check(combined, ("default_validation_context", "validation_context_sds_secret_config"), place)
    values = _context(combined.default_validation_context, place.field("default_validation_context"))
    secret = combined.validation_context_sds_secret_config.name
    if secret:
        if not secret.startswith(_FILE_ROOT):
            place.field("validation_context_sds_secret_config").reject(
                f"secrets over SDS are not supported yet ({secret!r}); only {_FILE_ROOT}PATH and {_FILE_ROOT}system are"
            )
        path = secret.removeprefix(_FILE_ROOT)
        values |= {"verify": True, "ca_file": "" if path == "system" else path}
    return values


def _context(context: Any, at: At) -> dict[str, Any]:
    check(context, _VALIDATION_FIELDS, at)
    values: dict[str, Any] = {"match_names": _names(context, at)}
    if context.HasField("trusted_ca"):
        values["verify"] = True
        specifier = context.trusted_ca.WhichOneof("specifier")
        if specifier == "filename":
            values["ca_file"] = context.trusted_ca.filename
        elif specifier in ("inline_string", "inline_bytes"):
            values["ca_pem"] = context.trusted_ca.inline_bytes or context.trusted_ca.inline_string.encode()
        else:
            at.field("trusted_ca").reject("needs a filename, inline_string or inline_bytes")
    elif context.HasField("system_root_certs"):
        values["verify"] = True
    return values


def _names(context: Any, at: At) -> tuple[StringMatch, ...]:
    names = [
        string_match(one, at.field("match_subject_alt_names", index))
        for index, one in enumerate(context.match_subject_alt_names)
    ]
    for index, one in enumerate(context.match_typed_subject_alt_names):
        place = at.field("match_typed_subject_alt_names", index)
        check(one, ("san_type", "matcher"), place)
        names.append(string_match(one.matcher, place.field("matcher")))
    return tuple(names)


def _file(source: Any, at: At) -> str:
    if source.WhichOneof("specifier") != "filename":
        at.reject("only a filename is supported")
    return str(source.filename)
