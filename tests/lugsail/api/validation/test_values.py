import pytest

from lugsail.api.validation import values
from lugsail.api.validation.place import Place, Report


def found(check: object, *arguments: object, **named: object) -> list[str]:
    report = Report()
    check(Place("x", report), *arguments, **named)  # type: ignore[operator]
    return [error.message for error in report.errors]


@pytest.mark.parametrize(("port", "good"), [(0, False), (1, True), (65535, True), (65536, False)])
def test_ports(port: int, good: bool) -> None:
    assert (found(values.check_port, port) == []) is good


@pytest.mark.parametrize(
    ("duration", "problem"),
    [
        (None, ""),
        ("1ms", ""),
        ("1.5s", ""),
        ("24h", ""),
        ("0.1s", ""),
        ("0s", "shorter than 1ms"),
        ("999us", "shorter"),
        ("-1s", "shorter"),
        ("1500us", "finer"),
    ],
)
def test_durations(duration: str | None, problem: str) -> None:
    messages = found(values.check_duration, duration)
    assert bool(messages) == bool(problem)
    assert problem in "".join(messages)


@pytest.mark.parametrize(
    ("percent", "good"),
    [(None, True), (0, True), (0.0001, True), (100, True), (0.00001, False), (100.1, False), (-1, False)],
)
def test_percentages(percent: float | None, good: bool) -> None:
    assert (found(values.check_percent, percent) == []) is good


@pytest.mark.parametrize("pattern", [".*", "v[12]", "(?i)a", r"\d+\.x", "^a$", "é+", "(?P<n>x)"])
def test_re2_patterns(pattern: str) -> None:
    assert found(values.check_regex, pattern) == []


@pytest.mark.parametrize("pattern", ["", "(", "a**b(", "(?=x)", r"(a)\1", "[z-a]", "a" * 1025, "\ud800"])
def test_what_re2_does_not_take(pattern: str) -> None:
    assert len(found(values.check_regex, pattern)) == 1


@pytest.mark.parametrize("protocol", ["", "http", "HTTP2", "grpc-web", "TLS", "Mongo", "UDP", "http_proxy"])
def test_protocols(protocol: str) -> None:
    assert found(values.check_protocol, protocol) == []


def test_unknown_and_missing_protocols() -> None:
    assert found(values.check_protocol, "SPDY") == ["'SPDY' is not a protocol"]
    assert found(values.check_protocol, "", required=True) == ["is required"]


@pytest.mark.parametrize(
    ("entries", "messages"),
    [
        ((), []),
        ((".",), []),
        (("*",), []),
        (("ns", "other"), []),
        ((".", "own"), ["'own' is there twice"]),
        (("ns", "ns"), ["'ns' is there twice"]),
        (("*", "ns"), ['"*" (all namespaces) stands beside others']),
        (("~",), ['"~" is only for ServiceEntry']),
        (("a.b",), ["'a.b' is not a namespace"]),
    ],
)
def test_export_to(entries: tuple[str, ...], messages: list[str]) -> None:
    assert found(values.check_export_to, entries, "own") == messages


def test_a_service_entry_may_be_exported_to_nobody() -> None:
    assert found(values.check_export_to, ("~",), "own", nobody_allowed=True) == []
    assert len(found(values.check_export_to, ("~", "a"), "own", nobody_allowed=True)) == 1
