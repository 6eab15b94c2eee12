"""VirtualServices made ready: names, delegates, and what they depend on."""

from controlplane.model.virtual_service import VirtualServiceConfig
from tests.controlplane.model.factory import mesh, resource


def only(*specs: tuple[str, str]) -> VirtualServiceConfig:
    made = mesh(*(resource("VirtualService", name, spec) for name, spec in specs))
    assert len(made.virtual_services) == 1
    return made.virtual_services[0]


def test_names_are_resolved() -> None:
    made = only(
        ("web", "{hosts: [web, api.example], gateways: [edge, mesh], http: [{route: [{destination: {host: api}}]}]}")
    )
    assert made.hosts == ("web.default.svc.cluster.local", "api.example")
    assert made.gateways == {"default/edge", "mesh"}
    assert [host for host, _ in made.destinations()] == ["api.default.svc.cluster.local"]


def test_no_gateways_means_all_sidecars() -> None:
    assert only(("web", "{hosts: [web], http: [{directResponse: {status: 200}}]}")).for_mesh


def test_what_its_matches_ask_of_the_caller() -> None:
    made = only(
        (
            "web",
            """
            hosts: [web]
            http:
            - match: [{sourceLabels: {app: a}}, {sourceNamespace: shop}]
              directResponse: {status: 200}
            tcp:
            - match: [{sourceLabels: {version: v1}}]
              route: [{destination: {host: web}}]
            """,
        )
    )
    assert made.source_label_keys == {"app", "version"}
    assert made.asks_namespace


def test_a_delegates_rules_go_under_the_roots_match() -> None:
    made = only(
        (
            "root",
            """
            hosts: [web]
            http:
            - match: [{uri: {prefix: /a}, headers: {x: {exact: '1'}}}, {uri: {prefix: /b}}]
              timeout: 3s
              delegate: {name: inner}
            """,
        ),
        (
            "inner",
            """
            http:
            - match: [{uri: {prefix: /a/deep}, queryParams: {q: {exact: '2'}}}]
              route: [{destination: {host: api}}]
            - timeout: 1s
              route: [{destination: {host: api}}]
            """,
        ),
    )
    first, second = made.http
    assert [(m.uri.prefix if m.uri else None, set(m.headers), set(m.query_params)) for m in first.rule.match] == [
        ("/a/deep", {"x"}, {"q"})
    ]
    assert (first.rule.timeout, second.rule.timeout) == ("3s", "1s")
    assert [m.uri.prefix if m.uri else None for m in second.rule.match] == ["/a", "/b"]
    assert first.index == "http[0] > default/inner http[0]"
