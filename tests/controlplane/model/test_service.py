"""Services as ServiceEntry resources declare them."""

from controlplane.model.service import services_of
from tests.controlplane.model.factory import mesh, resource


def test_each_host_is_a_service() -> None:
    made = mesh(
        resource(
            "ServiceEntry",
            "ext",
            """
            hosts: [a.example, b.example]
            resolution: DNS
            ports:
            - {number: 80, name: http, protocol: http, targetPort: 8080}
            - {number: 443, name: tls, protocol: HTTPS}
            """,
        )
    )
    first, second = made.services
    assert (first.host, second.host) == ("a.example", "b.example")
    assert [(p.number, p.target, p.protocol) for p in first.ports] == [(80, 8080, "HTTP"), (443, 443, "HTTPS")]
    assert (first.ports[0].is_http, first.ports[1].is_http, first.ports[1].is_tls) == (True, False, True)
    assert first.external


def test_udp_ports_are_left_out() -> None:
    spec = "{hosts: [a.example], ports: [{number: 53, name: dns, protocol: UDP}, {number: 1, name: a, protocol: TCP}]}"
    assert [p.number for p in mesh(resource("ServiceEntry", "ext", spec)).services[0].ports] == [1]


def test_services_are_equal_by_value() -> None:
    made = mesh(resource("ServiceEntry", "ext", "{hosts: [a.example], ports: [{number: 1, name: a, protocol: TCP}]}"))
    (known,) = made.services
    (twin,) = services_of(known.config)
    assert twin == known and twin is not known and hash(twin) == hash(known)
    assert known.with_ports(()) != known
    assert known.with_ports(known.ports) is known
