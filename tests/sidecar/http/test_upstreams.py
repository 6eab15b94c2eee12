"""What lies behind a route, over loopback sockets: ejection, mirrors, affinity, names, TLS, original destinations."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import re
import socket
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sidecar.config.clusters import (
    CircuitBreakers,
    LoadBalancing,
    OutlierDetection,
    TcpKeepalive,
    Thresholds,
    UpstreamTls,
)
from sidecar.config.endpoints import Endpoint, Endpoints, LocalityEndpoints
from sidecar.config.matchers import StringMatch
from sidecar.config.routes import HashPolicy, MirrorPolicy, RetryPolicy
from tests.sidecar.http.lab import HOST, Handler, Lab, ask, endpoints, hello, read_head, routes, until

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def answering(status: int, body: bytes, seen: list[bytes] | None = None) -> Handler:
    """A server that answers every request the same, and keeps the heads it saw in `seen`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await read_head(reader)
                if seen is not None:
                    seen.append(head)
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    return serve


def gauge(lab: Lab, name: str) -> float:
    return next(one.value for one in lab.stats.gauges() if one.name == name)


async def test_an_endpoint_that_fails_is_ejected_and_comes_back(lab: Lab) -> None:
    bad_heads: list[bytes] = []
    outlier = OutlierDetection(
        consecutive_5xx=2, interval_ms=20, base_ejection_ms=200, max_ejection_fraction=0.5, max_ejection_ms=200
    )
    lab.cluster(
        await lab.upstream(answering(500, b"bad", bad_heads)), await lab.upstream(hello), outlier=outlier,
        lb=LoadBalancing(panic_threshold=0),
    )  # fmt: skip
    lab.routes.update(routes())
    address = await lab.listen()
    assert gauge(lab, "cluster.app.outlier_detection.ejections_active") == 0
    for _ in range(4):
        await ask(address)
    assert len(bad_heads) == 2
    assert gauge(lab, "cluster.app.outlier_detection.ejections_active") == 1
    assert gauge(lab, "cluster.app.membership_healthy") == 1
    assert lab.counter("cluster.app.outlier_detection.ejections_enforced_total") == 1
    for _ in range(6):
        assert b"hello" in await ask(address)
    await until(lambda: gauge(lab, "cluster.app.membership_healthy") == 2)
    for _ in range(2):
        await ask(address)
    assert len(bad_heads) == 3


async def test_a_mirror_gets_a_copy_and_its_answer_goes_nowhere(lab: Lab) -> None:
    seen: list[bytes] = []
    lab.cluster(await lab.upstream(hello))
    lab.cluster(await lab.upstream(answering(500, b"mirror", seen)), name="shadow")
    lab.routes.update(routes(mirrors=(MirrorPolicy(cluster="shadow"),)))
    answer = await ask(await lab.listen())
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"hello")
    await until(lambda: lab.counter("cluster.shadow.upstream_rq_500") == 1)
    assert len(seen) == 1
    assert b"\r\nhost: x-shadow\r\n" in seen[0]


async def test_a_cookie_keeps_a_client_at_its_host(lab: Lab) -> None:
    hosts = [await lab.upstream(answering(200, b"%d" % number)) for number in range(4)]
    lab.cluster(*hosts, lb=LoadBalancing(kind="ring_hash"))
    lab.routes.update(routes(hash_policies=(HashPolicy(kind="cookie", name=b"user", ttl_ms=60_000, path=b"/"),)))
    address = await lab.listen()
    for _ in range(3):
        first = await ask(address)
        cookie = re.search(rb'set-cookie: (user="[0-9a-f]{16}"); Max-Age=60; Path=/; HttpOnly\r\n', first)
        assert cookie
        for _ in range(3):
            again = await ask(address, GET.replace(b"\r\n\r\n", b"\r\nCookie: a=b; " + cookie[1] + b"\r\n\r\n"))
            assert again[-1:] == first[-1:]
            assert b"set-cookie" not in again


async def test_headers_spread_over_all_hosts(lab: Lab) -> None:
    hosts = [await lab.upstream(answering(200, b"%d" % number)) for number in range(3)]
    lab.cluster(*hosts, lb=LoadBalancing(kind="maglev", maglev_table_size=1021))
    lab.routes.update(routes(hash_policies=(HashPolicy(kind="header", name=b"x-user"),)))
    address = await lab.listen()
    answers: dict[int, set[bytes]] = {}
    for user in range(40):
        for _ in range(2):
            answer = await ask(address, GET.replace(b"\r\n\r\n", b"\r\nX-User: %d\r\n\r\n" % user))
            answers.setdefault(user, set()).add(answer[-1:])
    assert all(len(one) == 1 for one in answers.values())
    assert len(set.union(*answers.values())) == 3


@pytest.mark.parametrize("kind", ["strict_dns", "logical_dns"])
async def test_names_are_resolved(lab: Lab, kind: str) -> None:
    server = await asyncio.start_server(hello, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    lab.cluster(("localhost", port), type=kind)
    lab.routes.update(routes())
    address = await lab.listen()
    await until(lambda: "app" in lab.clusters.active)
    assert b"hello" in await ask(address)
    assert lab.clusters.active["app"].hosts[0].address.endswith(f":{port}")
    server.close()


async def test_a_name_that_does_not_resolve_has_no_hosts(lab: Lab) -> None:
    lab.cluster(("nowhere.invalid", 80), type="strict_dns")
    lab.routes.update(routes())
    address = await lab.listen()
    await until(lambda: "app" in lab.clusters.active)
    assert b"no healthy upstream" in await ask(address)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for app.test, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "app.test")])
    names = x509.SubjectAlternativeName([x509.DNSName("app.test"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(names, False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "app.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


def _named(name: str) -> tuple[StringMatch, ...]:
    return (StringMatch(kind="exact", value=name.encode()),)


@pytest.mark.parametrize(
    ("trusted", "names", "flags"),
    [
        (True, _named("app.test"), "-"),
        (True, (), "-"),
        (True, _named("other.test"), "UF"),
        (False, (), "UF"),
    ],
)
async def test_tls_to_the_host(
    lab: Lab, certificate: Path, trusted: bool, names: tuple[StringMatch, ...], flags: str
) -> None:
    asked: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.sni_callback = lambda connection, name, _: asked.append(name)
    server = await asyncio.start_server(hello, HOST, 0, ssl=context)
    tls = UpstreamTls(sni="app.test", verify=True, ca_file=str(certificate) if trusted else "", match_names=names)
    lab.cluster(server.sockets[0].getsockname()[:2], tls=tls)
    lab.routes.update(routes())
    answer = await ask(await lab.listen())
    assert asked == ["app.test"]
    assert (b"hello" in answer) is (flags == "-")
    line = lab.log()[0]
    assert line.split()[:2] == ["200" if flags == "-" else "503", flags]
    if flags != "-":
        assert "TLS_error" in line
    server.close()


async def test_original_destination_with_another_port(lab: Lab) -> None:
    """The address the client wanted; here the listener's own, whose port the cluster replaces."""
    _, port = await lab.upstream(hello)
    lab.cluster(type="original_dst", endpoints=None, lb=LoadBalancing(kind="round_robin", port_override=port))
    lab.routes.update(routes())
    assert b"hello" in await ask(await lab.listen())
    assert [host.address for host in lab.clusters.active["app"].hosts] == [f"{HOST}:{port}"]


async def test_original_destination_by_header(lab: Lab) -> None:
    host, port = await lab.upstream(hello)
    lab.cluster(type="original_dst", endpoints=None, lb=LoadBalancing(address_header=b"x-dst"))
    lab.routes.update(routes())
    address = await lab.listen()
    request = GET.replace(b"\r\n\r\n", f"\r\nX-Dst: {host}:{port}\r\n\r\n".encode())
    assert b"hello" in await ask(address, request)


async def test_a_retry_goes_to_another_priority(lab: Lab) -> None:
    bad, good = await lab.upstream(answering(503, b"bad")), await lab.upstream(hello)
    localities = tuple(
        LocalityEndpoints(endpoints=(Endpoint(address=ip, port=port),), priority=priority)
        for priority, (ip, port) in enumerate((bad, good))
    )
    lab.cluster(endpoints=Endpoints(cluster_name="app", localities=localities))
    policy = RetryPolicy(
        retry_on=frozenset(("5xx",)), num_retries=1, base_interval_ms=1, max_interval_ms=2, previous_priorities_every=1
    )
    lab.routes.update(routes(retry=policy))
    address = await lab.listen()
    assert b"hello" in await ask(address)
    assert lab.counter("cluster.app.upstream_rq_retry") == 1
    assert lab.counter("cluster.app.upstream_rq_retry_success") == 1
    lab.routes.update(routes(retry=replace(policy, previous_priorities_every=None)))
    assert b"bad" in await ask(address)
    assert lab.counter("cluster.app.upstream_rq_retry_success") == 1
    assert lab.counter("cluster.app.upstream_rq_retry_limit_exceeded") == 1


async def test_keep_alive_is_set_on_connections(lab: Lab) -> None:
    lab.cluster(await lab.upstream(hello), keepalive=TcpKeepalive(probes=4, time_s=77))
    lab.routes.update(routes())
    await ask(await lab.listen())
    (connection,) = lab.clusters.active["app"].hosts[0].pool.connections
    sock = connection.transport.get_extra_info("socket")
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 4
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 77


async def test_a_share_of_requests_is_dropped(lab: Lab) -> None:
    where = endpoints("app", await lab.upstream(hello))
    lab.cluster(endpoints=replace(where, drop_fractions=(("load", 0.5),)))
    lab.routes.update(routes())
    address = await lab.listen()
    answers = [await ask(address) for _ in range(60)]
    dropped = [one for one in answers if b"drop overload" in one]
    assert 5 < len(dropped) < 55  # a fair coin leaves this once in 10^11 runs
    assert all(b"x-envoy-drop-overload: true\r\n" in one for one in dropped)
    assert "503 DO drop_overload" in lab.log()


async def test_the_statistics_of_a_removed_cluster_go_with_it(lab: Lab) -> None:
    def names() -> set[str]:
        return {one.name for kind in (lab.stats.counters(), lab.stats.gauges()) for one in kind}

    lab.cluster(await lab.upstream(hello))
    lab.cluster(await lab.upstream(hello), name="app.other")
    lab.clusters.update_clusters({}, {"app"})
    assert "cluster.app.upstream_rq_total" in names()  # since it begins another cluster's names
    lab.clusters.update_clusters({}, {"app.other"})
    assert "cluster.app.other.upstream_rq_total" not in names()


async def test_open_circuit_breakers_show(lab: Lab) -> None:
    release = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        await release.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    lab.cluster(await lab.upstream(slow), circuit_breakers=CircuitBreakers(default=Thresholds(max_requests=1)))
    lab.routes.update(routes())
    address = await lab.listen()
    open_now: Any = lambda: gauge(lab, "cluster.app.circuit_breakers.default.rq_open")  # noqa: E731
    assert open_now() == 0
    asking = asyncio.ensure_future(ask(address))
    await until(lambda: open_now() == 1)
    release.set()
    await asking
    await until(lambda: open_now() == 0)
