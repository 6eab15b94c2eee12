"""The whole data path over loopback sockets: what no table of single requests shows."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from sidecar.config.clusters import CircuitBreakers, Cluster, HttpOptions, Thresholds
from sidecar.config.listeners import FilterChain, Listener, TcpProxy
from sidecar.config.routes import RetryPolicy
from tests.sidecar.http.lab import HOST, Lab, ask, endpoints, hello, read_head, routes, until


async def test_connections_upstream_are_reused(lab: Lab) -> None:
    lab.cluster(await lab.upstream(hello))
    lab.routes.update(routes())
    address = await lab.listen()
    for _ in range(5):
        assert (await ask(address)).endswith(b"hello")
    assert lab.counter("cluster.app.upstream_cx_total") == 1
    assert lab.counter("cluster.app.upstream_rq_200") == 5
    assert lab.counter("http.main.downstream_rq_2xx") == 5
    assert lab.log() == ["200 - via_upstream"] * 5


async def test_listener_waits_for_its_routes(lab: Lab) -> None:
    lab.cluster(await lab.upstream(hello))
    address = await lab.listen()
    assert "main" in lab.listeners.warming
    lab.routes.update(routes())
    await lab.listeners.settled()
    assert lab.listeners.warming == {}
    assert b"hello" in await ask(address)


async def test_a_listener_that_comes_back_waits_for_the_routes_of_now(lab: Lab) -> None:
    lab.cluster(await lab.upstream(hello))
    lab.routes.update(routes(cluster="of then"))
    assert b"503" in await ask(await lab.listen())
    config = lab.listeners.active["main"].config
    lab.listeners.update({}, {"main"})
    lab.routes.remove("main")
    address = await lab.bind(config)
    assert "main" in lab.listeners.warming
    lab.routes.update(routes())
    await lab.listeners.settled()
    assert b"hello" in await ask(address)


async def test_update_keeps_the_socket_and_open_connections(lab: Lab) -> None:
    lab.cluster(await lab.upstream(hello))
    lab.routes.update(routes())
    address = await lab.listen()
    config = lab.listeners.active["main"].config
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"connection: close" not in await read_head(reader)
    await reader.readexactly(5)
    manager = config.filter_chains[0].http
    assert manager is not None
    chain = FilterChain(http=replace(manager, server_name=b"newer"))
    await lab.bind(replace(config, filter_chains=(chain,)))
    assert b"server: newer" in await ask(address)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    head = await read_head(reader)
    assert b"server: envoy" in head
    assert b"connection: close" in head
    writer.close()


async def test_bind_error_is_told_and_the_old_listener_goes_on(lab: Lab) -> None:
    lab.cluster(await lab.upstream(hello))
    lab.routes.update(routes())
    address = await lab.listen()
    taken = await asyncio.start_server(hello, HOST, 0)
    port = taken.sockets[0].getsockname()[1]
    config = lab.listeners.active["main"].config
    errors = lab.listeners.update({"main": replace(config, addresses=((HOST, port),))})
    assert f"cannot bind {HOST}:{port}" in errors["main"]
    assert b"hello" in await ask(address)
    taken.close()


async def test_removed_listener_refuses(lab: Lab) -> None:
    lab.cluster(await lab.upstream(hello))
    lab.routes.update(routes())
    address = await lab.listen()
    lab.listeners.update({}, {"main"})
    with pytest.raises(ConnectionError):
        await ask(address)


async def test_endpoint_update_keeps_hosts_that_stay(lab: Lab) -> None:
    first, second = await lab.upstream(hello), await lab.upstream(hello)
    lab.clusters.update_clusters({"app": Cluster(name="app", type="eds")})
    assert lab.clusters.active == {}
    lab.clusters.update_endpoints(endpoints("app", first))
    cluster = lab.clusters.active["app"]
    kept = cluster.hosts[0]
    lab.routes.update(routes())
    address = await lab.listen()
    await ask(address)
    assert len(kept.pool.idle) == 1
    lab.clusters.update_endpoints(endpoints("app", first, second))
    assert cluster.hosts[0] is kept
    assert len(kept.pool.idle) == 1
    lab.clusters.update_endpoints(endpoints("app", second))
    assert kept.pool.unused
    assert b"hello" in await ask(address)


async def test_garbage_behind_requests_does_not_keep_them_from_their_answers(lab: Lab) -> None:
    """Nor does a bad body of the last of them: what came whole is answered, then the rest is refused."""
    lab.cluster(await lab.upstream(hello))
    lab.routes.update(routes())
    address = await lab.listen()
    good = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    bad_body = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    for bad in (b"nonsense\r\n\r\n", bad_body):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(good * 3 + bad)
        async with asyncio.timeout(5):
            answer = await reader.read(-1)
        assert answer.count(b"HTTP/1.1 200 OK") == 3
        assert answer.count(b"HTTP/1.1 400") == 1
        assert answer.endswith(b"Bad Request")
        writer.close()
    await until(lambda: lab.counter("http.main.downstream_cx_active") == 0)
    assert lab.counter("http.main.downstream_rq_active") == 0


async def test_many_pipelined_requests_are_not_taken_for_a_large_head(lab: Lab) -> None:
    lab.cluster(await lab.upstream(hello))
    lab.routes.update(routes())
    reader, writer = await asyncio.open_connection(*await lab.listen())
    one = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    count = 4 * 60 * 1024 // len(one)
    writer.write(one * count + one[:10])
    seen = 0
    async with asyncio.timeout(10):
        while seen < count:
            assert b"200 OK" in await read_head(reader)
            await reader.readexactly(5)
            seen += 1
    writer.write(one[10:])
    assert b"200 OK" in await read_head(reader)
    writer.close()


async def test_idle_connection_closed_by_the_host_costs_no_request(lab: Lab) -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        await read_head(reader)  # the second request on a connection is met by closing it
        writer.close()

    lab.cluster(await lab.upstream(once))
    lab.routes.update(routes())
    address = await lab.listen()
    assert b"200 OK" in await ask(address)
    assert b"200 OK" in await ask(address)
    assert b"503" in await ask(address, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")


async def test_client_that_leaves_is_logged_and_frees_the_upstream(lab: Lab) -> None:
    seen, closed = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        seen.set()
        await reader.read()
        closed.set()
        writer.close()

    lab.cluster(await lab.upstream(silent))
    lab.routes.update(routes())
    address = await lab.listen()
    _, writer = await asyncio.open_connection(*address)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await seen.wait()
    writer.close()
    await asyncio.wait_for(closed.wait(), 5)
    assert lab.log() == ["0 DC downstream_remote_disconnect"]
    cluster = lab.clusters.active["app"]
    assert cluster.stats.rq_active.value == 0
    await until(lambda: cluster.stats.cx_active.value == 0)


async def test_slow_client_stops_the_upstream(lab: Lab) -> None:
    """A response of 64 MiB to a client that does not read: neither side may hold it in memory."""
    total, sent = 64 * 1024 * 1024, 0

    async def big(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        try:
            for _ in range(total // 65536):
                writer.write(bytes(65536))
                sent += 65536
                await writer.drain()
        except ConnectionError:
            pass

    lab.cluster(await lab.upstream(big))
    lab.routes.update(routes())
    address = await lab.listen()
    reader, writer = await asyncio.open_connection(*address, limit=65536)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await read_head(reader)
    last = -1
    while last != sent:
        last = sent
        await asyncio.sleep(0.1)
    assert sent < total / 2
    got = 0
    while got < total:
        got += len(await reader.read(1 << 20))
    assert got == total
    writer.close()


async def test_slow_host_stops_the_client(lab: Lab) -> None:
    """An upload of 64 MiB to a host that does not read."""
    gate = asyncio.Event()
    total = 64 * 1024 * 1024

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        await gate.wait()
        await reader.readexactly(total)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    lab.cluster(await lab.upstream(slow))
    lab.routes.update(routes(retry=RetryPolicy(retry_on=frozenset({"5xx"}))))
    address = await lab.listen()
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % total)
    sent = 0

    async def upload() -> None:
        nonlocal sent
        while sent < total:
            writer.write(bytes(65536))
            sent += 65536
            await writer.drain()

    task = asyncio.create_task(upload())
    last = -1
    while last != sent:
        last = sent
        await asyncio.sleep(0.1)
    assert sent < total / 2
    gate.set()
    await task
    assert b"200 OK" in await read_head(reader)
    writer.close()


async def test_retry_sends_the_whole_body_again_but_not_a_large_one(lab: Lab) -> None:
    attempts: list[int] = []

    async def fail_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        attempts.append(len(await reader.readexactly(length)))
        status = b"503 X" if len(attempts) == 1 else b"200 OK"
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    lab.cluster(await lab.upstream(fail_first), buffer_limit_bytes=100_000)
    policy = RetryPolicy(retry_on=frozenset({"5xx"}), num_retries=2, base_interval_ms=1, max_interval_ms=2)
    lab.routes.update(routes(retry=policy))
    address = await lab.listen()
    small = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n" + bytes(50_000)
    assert b"200 OK" in await ask(address, small)
    assert attempts == [50_000, 50_000]
    attempts.clear()
    large = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n" + bytes(500_000)
    assert b"503" in await ask(address, large)
    assert attempts == [500_000]


async def test_per_try_timeout_then_success(lab: Lab) -> None:
    count = 0

    async def second_time(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        await read_head(reader)
        count += 1
        if count > 1:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    lab.cluster(await lab.upstream(second_time))
    policy = RetryPolicy(retry_on=frozenset({"5xx"}), num_retries=1, per_try_timeout_ms=30, base_interval_ms=1)
    lab.routes.update(routes(retry=policy, timeout_ms=5000.0))
    assert b"200 OK" in await ask(await lab.listen())
    assert lab.counter("cluster.app.upstream_rq_per_try_timeout") == 1
    assert lab.counter("cluster.app.upstream_rq_retry") == 1


async def test_circuit_breaker_overflow(lab: Lab) -> None:
    release = asyncio.Event()

    async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            await read_head(reader)
            await release.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    limits = Thresholds(max_connections=1, max_pending_requests=1)
    lab.cluster(await lab.upstream(waits), circuit_breakers=CircuitBreakers(default=limits))
    lab.routes.update(routes())
    address = await lab.listen()
    first = asyncio.create_task(ask(address))
    cluster = lab.clusters
    await until(lambda: cluster.active["app"].stats.rq_active.value == 1)
    second = asyncio.create_task(ask(address))
    await until(lambda: cluster.active["app"].stats.rq_pending_active.value == 1)
    third = await ask(address)
    assert b"503" in third
    assert b"x-envoy-overloaded: true" in third
    assert third.endswith(b"reset reason: overflow")
    release.set()
    assert b"200 OK" in await first
    assert b"200 OK" in await second
    assert lab.log()[0] == "503 UO upstream_reset_before_response_started{overflow}"


async def test_drain_closes_idle_connections_and_lets_requests_end(lab: Lab) -> None:
    release = asyncio.Event()

    async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        await release.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    lab.cluster(await lab.upstream(waits))
    lab.routes.update(routes())
    address = await lab.listen()
    idle_reader, idle_writer = await asyncio.open_connection(*address)
    busy = asyncio.create_task(ask(address))
    await until(lambda: lab.clusters.active["app"].stats.rq_active.value == 1)
    lab.listeners.drain()
    assert await asyncio.wait_for(idle_reader.read(), 5) == b""
    release.set()
    answer = await busy
    assert b"200 OK" in answer
    assert b"connection: close" in answer
    idle_writer.close()
    with pytest.raises(ConnectionError):
        await ask(address)


async def test_idle_timeouts(lab: Lab) -> None:
    lab.cluster(await lab.upstream(hello), http=HttpOptions(idle_timeout_ms=40))
    lab.routes.update(routes())
    address = await lab.listen(idle_timeout_ms=60)
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await read_head(reader)
    assert await asyncio.wait_for(reader.read(), 5) == b"hello"
    writer.close()
    await until(lambda: lab.counter("cluster.app.upstream_cx_idle_timeout") == 1)
    assert lab.counter("http.main.downstream_cx_idle_timeout") == 1


async def test_tcp_proxy_relays_both_ways_and_half_closes(lab: Lab) -> None:
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.read()
        writer.write(data.upper())
        writer.close()

    lab.cluster(await lab.upstream(shout))
    log = lab.access_log("%BYTES_RECEIVED% %BYTES_SENT% %RESPONSE_FLAGS% %UPSTREAM_CLUSTER%\n")
    proxy = TcpProxy(stat_prefix="t", cluster="app", access_logs=(log,))
    address = await lab.bind(Listener(name="main", addresses=((HOST, 0),), filter_chains=(FilterChain(tcp=proxy),)))
    reader, writer = await asyncio.open_connection(*address)
    payload = b"abc" * 100_000
    writer.write(payload)
    writer.write_eof()
    assert await asyncio.wait_for(reader.read(), 5) == payload.upper()
    writer.close()
    await until(lambda: lab.log() != [])
    assert lab.log() == ["300000 300000 - app"]


async def test_tcp_proxy_without_host_says_so(lab: Lab) -> None:
    lab.cluster()
    log = lab.access_log("%RESPONSE_FLAGS%\n")
    proxy = TcpProxy(stat_prefix="t", cluster="app", access_logs=(log,))
    address = await lab.bind(Listener(name="main", addresses=((HOST, 0),), filter_chains=(FilterChain(tcp=proxy),)))
    reader, writer = await asyncio.open_connection(*address)
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    assert lab.log() == ["UH"]


async def test_requests_behind_a_closing_one_are_not_served_nor_counted_as_active(lab: Lab) -> None:
    lab.cluster(await lab.upstream(hello))
    lab.routes.update(routes())
    address = await lab.listen(max_requests_per_connection=1)
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
    answer = await asyncio.wait_for(reader.read(), 5)
    assert answer.count(b"HTTP/1.1 200") == 1
    assert b"connection: close" in answer
    assert lab.stats.gauge("http.main.downstream_rq_active").value == 0
    writer.close()
