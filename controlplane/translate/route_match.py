"""VirtualService.http[].match as Envoy's RouteMatch, and whether a match is for this proxy at all."""

from typing import Any

from envoy.config.route.v3 import route_components_pb2
from google.protobuf.wrappers_pb2 import BoolValue

from controlplane.model.config import labels_match
from controlplane.model.names import resolve_gateway
from controlplane.translate.string_match import regex, string_matcher
from lugsail.api.virtual_service import HTTPMatchRequest, StringMatch


def match_applies(
    match: HTTPMatchRequest | None,
    port: int,
    gateway: str,
    owner_namespace: str,
    labels: dict[str, str],
    namespace: str,
) -> bool:
    """Conditions that are known before any request: port, gateway, and the labels and namespace of the proxy.

    `gateway`: `mesh` or `namespace/name`. As in Istio, labels and namespace do not count where gateways are named.
    """
    if match is None:
        return True
    if match.port and match.port != port:
        return False
    if match.gateways:
        return gateway in {resolve_gateway(name, owner_namespace) for name in match.gateways}
    if not labels_match(match.source_labels, labels):
        return False
    return not match.source_namespace or match.source_namespace == namespace


def route_match(match: HTTPMatchRequest | None) -> Any:
    """envoy.config.route.v3.RouteMatch; without a match, every path."""
    out = route_components_pb2.RouteMatch(prefix="/")
    if match is None:
        return out
    headers = [_header(name, wanted) for name, wanted in match.headers.items()]
    headers += [_without(name, unwanted) for name, unwanted in match.without_headers.items()]
    out.headers.extend(sorted(headers, key=lambda header: str(header.name)))
    if match.uri is not None:
        if match.uri.exact is not None:
            out.path = match.uri.exact
        elif match.uri.prefix is not None:
            out.prefix = match.uri.prefix
        elif match.uri.regex is not None:
            out.safe_regex.CopyFrom(regex(match.uri.regex))
    out.case_sensitive.CopyFrom(BoolValue(value=not match.ignore_uri_case))
    for name, wanted in ((":method", match.method), (":authority", match.authority), (":scheme", match.scheme)):
        if wanted is not None:
            out.headers.append(_header(name, wanted))
    for name, wanted in sorted(match.query_params.items()):
        parameter = route_components_pb2.QueryParameterMatcher(name=name)
        matcher = string_matcher(wanted)
        if matcher is None:
            parameter.present_match = True
        else:
            parameter.string_match.CopyFrom(matcher)
        out.query_parameters.append(parameter)
    return out


def _header(name: str, wanted: StringMatch) -> Any:
    out = route_components_pb2.HeaderMatcher(name=name)
    matcher = string_matcher(wanted)
    if matcher is None:
        out.present_match = True
    else:
        out.string_match.CopyFrom(matcher)
    return out


def _without(name: str, unwanted: StringMatch) -> Any:
    out = _header(name, unwanted)
    out.invert_match = True
    # A missing header is as good as one with another value; with a presence match Envoy refuses the flag.
    out.treat_missing_header_as_empty = not out.present_match
    return out


def is_catch_all(match: Any) -> bool:
    """Whether every request fits a RouteMatch, so that nothing behind it is ever reached."""
    kind = match.WhichOneof("path_specifier")
    everything = (kind == "prefix" and match.prefix == "/") or (
        kind == "safe_regex" and match.safe_regex.regex == ".*"
    )
    return everything and not match.headers and not match.query_parameters


def describe_path(match: Any) -> str:
    """The path of a RouteMatch as Istio writes it into operation names: `/static*`, `/login`."""
    kind = match.WhichOneof("path_specifier")
    if kind == "path":
        return str(match.path)
    if kind == "safe_regex":
        return str(match.safe_regex.regex)
    return f"{match.prefix}*"
