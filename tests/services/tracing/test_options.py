"""The command line."""

from __future__ import annotations

import pytest

from services.tracing.options import parse_options, parse_size


@pytest.mark.parametrize(
    ("text", "size"), [("512MB", 512 << 20), ("2GiB", 2 << 30), ("1000", 1000), ("64k", 65536), ("10B", 10)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "1.5GB", "-1", "1TB", "1 MB x"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


def test_defaults() -> None:
    options = parse_options([])
    assert (options.otlp_grpc_port, options.otlp_http_port, options.zipkin_port, options.ui_port) == (
        4317,
        4318,
        9411,
        16686,
    )
    assert (options.address, options.retention, options.max_size) == ("127.0.0.1", 3600 * 1_000_000, 512 << 20)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--max-size", "1MB"], "at least 64MB"),
        (["--retention", "0"], "longer than nothing"),
        (["--retention", "1 hour"], "is not a duration such as"),
        (["--ui-port", "0"], "is not a port"),
        (["--durability", "some"], "invalid choice"),
    ],
)
def test_wrong_ones(flags: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_options(flags)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_options(["--help"])
    assert "example:\n  python -m services.tracing" in capsys.readouterr().out
