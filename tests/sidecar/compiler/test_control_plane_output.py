"""Whatever the control plane's goldens say to a proxy, this proxy takes, but for what is listed here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sidecar.compiler.clusters import compile_cluster
from sidecar.compiler.endpoints import compile_endpoints
from sidecar.compiler.listeners import compile_listener
from sidecar.compiler.names import compile_names
from sidecar.compiler.routes import compile_route_configuration
from sidecar.config.rejected import Rejected
from sidecar.router.match import RouteTable
from tests.controlplane.translate import golden

_COMPILE: dict[str, Callable[[Any], object]] = {
    "Listener": compile_listener,
    "RouteConfiguration": lambda message: RouteTable(compile_route_configuration(message)),
    "Cluster": compile_cluster,
    "ClusterLoadAssignment": compile_endpoints,
    "NameTable": lambda message: compile_names(message, "default.svc.cluster.local"),
}

#: Golden → what the refusal says. Users may ask for these by name; the stock Envoy honours them.
_REFUSED = {
    "envoy-filter-http-filter": "the filter 'envoy.filters.http.lua' of type",
    "proxy-protocol": "ProxyProtocolUpstreamTransport is not supported by this proxy",
}



@pytest.mark.parametrize("name", golden.names())
def test_compiles(name: str) -> None:
    refused = []
    compiled = 0
    for proxy, answer in golden.answers(name).items():
        if proxy.endswith(" envoy"):
            continue  # what a stock Envoy gets alone, since it names itself so
        for title, built in answer.items():
            for resource in built.values():
                try:
                    _COMPILE[title](resource.message)
                    compiled += 1
                except Rejected as error:
                    refused.append(f"{proxy}: {title} {error}")
    assert compiled
    if name in _REFUSED:
        assert refused
        assert [text for text in refused if _REFUSED[name] not in text] == []
    else:
        assert refused == []
