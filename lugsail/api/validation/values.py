"""Ports, durations, percentages, regular expressions, visibility: checks that many kinds share."""

from collections.abc import Iterable

import re2

from lugsail.api.scalars import parse_duration
from lugsail.api.validation.names import is_dns_label
from lugsail.api.validation.place import Place

REGEX_LIMIT = 1024
# Percentages below this are lost in Envoy's parts per million.
SMALLEST_PERCENT = 0.0001

HTTP_PROTOCOLS = frozenset(("HTTP", "HTTP2", "HTTP_PROXY", "GRPC", "GRPC-WEB"))
TLS_PROTOCOLS = frozenset(("HTTPS", "TLS"))
TCP_PROTOCOLS = frozenset(("TCP", "HTTPS", "TLS", "MONGO", "REDIS", "MYSQL"))
PROTOCOLS = HTTP_PROTOCOLS | TCP_PROTOCOLS | {"UDP", "HBONE"}


def check_port(place: Place, number: int) -> None:
    """1 to 65535."""
    if not 1 <= number <= 65535:
        place.fail(f"{number} is not a port", "write 1 to 65535")


def check_protocol(place: Place, protocol: str, *, required: bool = False) -> None:
    """A protocol that Istio knows, in any letter case; empty means that it is detected."""
    if protocol.upper() in PROTOCOLS or (not protocol and not required):
        return
    known = "HTTP, HTTP2, GRPC, GRPC-WEB, HTTPS, TLS, TCP, HTTP_PROXY, MONGO, REDIS, MYSQL or UDP"
    place.fail(f"{protocol!r} is not a protocol" if protocol else "is required", f"write {known}")


def is_http(protocol: str) -> bool:
    """HTTP in clear text, of any version."""
    return protocol.upper() in HTTP_PROTOCOLS


def is_tls(protocol: str) -> bool:
    """On top of TLS."""
    return protocol.upper() in TLS_PROTOCOLS


def is_tcp(protocol: str) -> bool:
    """Handled as TCP; TLS is."""
    return protocol.upper() in TCP_PROTOCOLS


def check_port_name(place: Place, name: str) -> None:
    """RFC 1123 label."""
    if not is_dns_label(name):
        place.fail(f"{name!r} is not a port name" if name else "is required", 'write such as "http" or "tcp-mongo"')


def check_duration(place: Place, duration: str | None) -> None:
    """At least 1ms, in whole milliseconds."""
    if duration is None:
        return
    nanoseconds = round(parse_duration(duration) * 1e9)
    if nanoseconds < 1_000_000:
        place.fail(f"{duration} is shorter than 1ms", "write at least 1ms")
    elif nanoseconds % 1_000_000:
        place.fail(f"{duration} is finer than a millisecond", "write whole milliseconds")


def check_percent(place: Place, percent: float | None) -> None:
    """0 to 100."""
    if percent is None:
        return
    if not 0 <= percent <= 100:
        place.fail(f"{percent:g} is not a percentage", "write 0 to 100")
    elif 0 < percent < SMALLEST_PERCENT:
        place.fail(f"{percent:g} is too small a percentage", f"write 0, or at least {SMALLEST_PERCENT}")


def check_not_negative(place: Place, number: int) -> None:
    """0 (unset) or more."""
    if number < 0:
        place.fail(f"{number} is negative", "write 0 or more")


def check_regex(place: Place, pattern: str) -> None:
    """RE2 syntax, not empty, not huge."""
    if not pattern:
        place.fail("an empty regular expression", "leave it out, or write what must match")
        return
    if len(pattern) > REGEX_LIMIT:
        place.fail(f"a regular expression of more than {REGEX_LIMIT} characters")
        return
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options=options)
    except (re2.error, UnicodeError) as error:
        reason = error.args[0] if error.args else error
        shown = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        hint = "the syntax is RE2's: no lookahead, no backreference"
        place.fail(f"{pattern!r} is not a regular expression: {shown}", hint)


def check_export_to(place: Place, entries: tuple[str, ...], namespace: str, *, nobody_allowed: bool = False) -> None:
    """`.` (own namespace), `*` (all), namespaces; ServiceEntry also `~` (nobody)."""
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        meant = namespace if entry == "." else entry
        here = place / index
        if meant in seen:
            here.fail(f"{entry!r} is there twice", "keep one of the two")
        seen.add(meant)
        if entry == "~" and not nobody_allowed:
            here.fail('"~" is only for ServiceEntry', 'write ".", "*" or a namespace')
        elif entry not in (".", "*", "~") and not is_dns_label(entry):
            here.fail(f"{entry!r} is not a namespace", 'write ".", "*" or a namespace')
    for alone, meaning in (("*", "all namespaces"), ("~", "nobody")):
        if alone in seen and len(entries) > 1:
            place.fail(f'"{alone}" ({meaning}) stands beside others', f'write "{alone}" alone, or leave it out')


def check_at_most_one(place: Place, fields: Iterable[tuple[str, object]]) -> int:
    """Protobuf `oneof`: how many of the fields are given (not None); more than one is an error."""
    given = [name for name, value in fields if value is not None]
    if len(given) > 1:
        place.fail(f"{' and '.join(given)} exclude each other", "keep one of them")
    return len(given)
