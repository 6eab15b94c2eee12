"""tcp-echo answers line by line, on each of its ports, within limits."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from bookinfo.common.settings import InvalidSetting
from bookinfo.tcp_echo.app import CONNECTIONS_LIMIT, LINE_LIMIT_BYTES, Echo, main, ports_of


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    service = Echo("two")
    yield service
    await service.close()


async def test_each_line_comes_back_behind_the_prefix(echo):
    for number in (await echo.open("127.0.0.1", 0), await echo.open("127.0.0.1", 0)):
        reader, writer = await asyncio.open_connection("127.0.0.1", number)
        writer.write(b"hello\nwor")
        assert await reader.readline() == b"two hello\n"
        writer.write(b"ld\n\n")
        assert await reader.readline() == b"two world\n"
        assert await reader.readline() == b"two \n"
        writer.write(b"no end of line")
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()


async def test_a_line_that_is_too_long_ends_the_connection(echo):
    reader, writer = await asyncio.open_connection("127.0.0.1", await echo.open("127.0.0.1", 0))
    writer.write(b"x" * (2 * LINE_LIMIT_BYTES + 10))
    with pytest.raises(ConnectionError):
        assert not await reader.read()
        raise ConnectionResetError  # closed in order is as good as reset
    writer.close()


async def test_too_many_connections_are_refused(echo, monkeypatch):
    monkeypatch.setattr("bookinfo.tcp_echo.app.CONNECTIONS_LIMIT", 1)
    number = await echo.open("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", number)
    writer.write(b"a\n")
    assert await reader.readline() == b"two a\n"
    second, other = await asyncio.open_connection("127.0.0.1", number)
    with pytest.raises(ConnectionError):
        assert not await second.read()
        raise ConnectionResetError
    writer.write(b"b\n")
    assert await reader.readline() == b"two b\n"
    writer.close()
    other.close()
    assert CONNECTIONS_LIMIT > 1


async def test_closing_ends_connections(echo):
    reader, writer = await asyncio.open_connection("127.0.0.1", await echo.open("127.0.0.1", 0))
    writer.write(b"a\n")
    await reader.readline()
    await echo.close()
    assert await reader.read() == b""
    writer.close()


def test_where_to_listen():
    assert ports_of([], {}) == [9000]
    assert ports_of(["9000", "9001"], {}) == [9000, 9001]
    assert ports_of(["9000", "9001"], {"PORT": "31000"}) == [31000]
    with pytest.raises(InvalidSetting):
        ports_of(["x"], {})


def test_a_wrong_port_is_told(capsys):
    assert main(["99999"]) == 64
    assert "99999" in capsys.readouterr().err
