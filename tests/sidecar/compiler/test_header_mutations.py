from __future__ import annotations

import pytest
from envoy.config.route.v3.route_components_pb2 import Route as RouteProto

from sidecar.compiler.header_mutations import request_mutations, response_mutations
from sidecar.config.rejected import At, Rejected
from sidecar.config.routes import HeaderAction
from tests.sidecar.compiler.protos import proto


def test_names_are_lowered_and_constants_stay_bytes() -> None:
    text = "{request_headers_to_remove: [X-C], request_headers_to_add: [{header: {key: X-A, value: b}}]}"
    (level,) = request_mutations(proto(RouteProto, text), At("r"))
    assert level.remove == (b"x-c",)
    assert (level.change[0].name, level.change[0].value) == (b"x-a", b"b")
    assert level.change[0].action is HeaderAction.APPEND_IF_EXISTS_OR_ADD


def test_nothing_to_do_is_no_level() -> None:
    assert request_mutations(RouteProto(), At("r")) == ()
    assert response_mutations(RouteProto(), At("r")) == ()


@pytest.mark.parametrize(
    ("text", "path", "reason"),
    [
        ("{request_headers_to_add: [{header: {key: ':path', value: x}}]}", "header.key", "may not be modified"),
        ("{request_headers_to_add: [{header: {key: Host, value: x}}]}", "header.key", "may not be modified"),
        ("{request_headers_to_add: [{header: {key: '', value: x}}]}", "header.key", "is not a header name"),
        ("{request_headers_to_add: [{header: {key: 'a b', value: x}}]}", "header.key", "is not a header name"),
        ('{request_headers_to_add: [{header: {key: a, value: "x\\r\\ny"}}]}', "header.value", "line ends"),
        ("{request_headers_to_add: [{header: {key: a, value: '%NOPE%'}}]}", "header.value", "NOPE"),
        ("{request_headers_to_add: [{header: {key: a, value: 'x%'}}]}", "header.value", "%"),
    ],
)
def test_refuses(text: str, path: str, reason: str) -> None:
    with pytest.raises(Rejected, match=reason) as caught:
        request_mutations(proto(RouteProto, text), At("r"))
    assert caught.value.path == f"request_headers_to_add[0].{path}"


def test_refuses_to_remove_what_a_request_needs() -> None:
    for name in (":authority", "host"):
        with pytest.raises(Rejected, match="may not be removed"):
            request_mutations(proto(RouteProto, {"request_headers_to_remove": [name]}), At("r"))
