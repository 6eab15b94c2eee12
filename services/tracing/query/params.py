"""The parameters of Jaeger's query API (Jaeger: query_parser.go; v3: apiv3/http_gateway.go). Pure code."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from services.tracing.decode.tags import REQUEST_ID_TAG
from services.tracing.query.durations import parse_duration
from services.tracing.store.reader import Search

DEFAULT_LIMIT = 100
MAX_LIMIT = 1500  # Jaeger UI's own
DEFAULT_LOOKBACK_US = 48 * 3600 * 1_000_000
DEFAULT_DEPENDENCY_LOOKBACK_MS = 24 * 3600 * 1000
MAX_TRACE_IDS = 100

_HEX = frozenset(string.hexdigits)
_INT64 = 1 << 63
_LOGFMT = re.compile(r'\s*([^\s="]+)(?:=(?:"((?:[^"\\]|\\.)*)"|([^\s"]*)))?(?=\s|$)')


class BadParameter(Exception):
    """A parameter cannot be read. The text names it and says what would be right."""


class Parameters(Protocol):
    """Of a query string: some names come more than once."""

    def get(self, key: str, default: str) -> str: ...
    def getall(self, key: str, default: Sequence[str]) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class TracesQuery:
    """Of /api/traces: by ids where there are some, else a search."""

    trace_ids: tuple[bytes, ...]
    search: Search


def parse_trace_id(text: str) -> bytes:
    """16 bytes; short ids are padded with zeros. Raises BadParameter."""
    if not 0 < len(text) <= 32 or not _HEX.issuperset(text):
        raise BadParameter(f"a trace id has 1 to 32 hex digits, not {text[:80]!r}")
    found = bytes.fromhex(text.zfill(32))
    if not any(found):
        raise BadParameter("a trace id is not zero")
    return found


def parse_traces_query(query: Parameters, now_us: int) -> TracesQuery:
    """Raises BadParameter. A service is required as Jaeger has it, but for trace ids and `requestId` (our own)."""
    try:
        trace_ids = tuple(parse_trace_id(text) for text in query.getall("traceID", ()))
    except BadParameter as error:
        raise BadParameter(f"cannot parse traceID param: {error}") from error
    if len(trace_ids) > MAX_TRACE_IDS:
        raise BadParameter(f"at most {MAX_TRACE_IDS} of parameter 'traceID' can be given, not {len(trace_ids)}")
    search = parse_search(query, now_us)
    if not trace_ids and not search.service and REQUEST_ID_TAG not in search.tags:
        raise BadParameter("parameter 'service' is required")
    return TracesQuery(trace_ids, search)


def parse_search(query: Parameters, now_us: int) -> Search:
    """A search with any of Jaeger's parameters. Raises BadParameter."""
    end = _integer(query, "end", now_us)
    start = _integer(query, "start", end - _lookback(query))
    shortest, longest = (_duration(query, name) for name in ("minDuration", "maxDuration"))
    if shortest and longest and longest < shortest:
        raise BadParameter("'maxDuration' should be greater than 'minDuration'")
    limit = _integer(query, "limit", DEFAULT_LIMIT)
    if limit < 1:
        raise BadParameter(f"unable to parse param 'limit': it must be at least 1, not {limit}")
    tags = parse_tags(query.getall("tag", ()), query.getall("tags", ()))
    request_id = query.get("requestId", "").strip()
    if request_id:
        tags[REQUEST_ID_TAG] = request_id
    return Search(
        service=query.get("service", ""),
        operation=query.get("operation", ""),
        tags=tags,
        start_us=start,
        end_us=end,
        min_duration_us=shortest,
        max_duration_us=longest,
        limit=min(limit, MAX_LIMIT),
    )


def parse_tags(single: Sequence[str], several: Sequence[str]) -> dict[str, str]:
    """`tag=key:value` each; `tags={"key":"value"}` as Jaeger's UI sends them, or logfmt as people type them."""
    tags = {}
    for text in single:
        key, colon, value = text.partition(":")
        if not colon or not key:
            raise BadParameter(f"malformed 'tag' parameter, expecting key:value, received: {text[:80]}")
        tags[key] = value
    for text in several:
        tags.update(_json_tags(text) if text.lstrip().startswith(("{", "[")) else parse_logfmt(text))
    return tags


def parse_logfmt(text: str) -> dict[str, str]:
    """`http.status_code=404 error user="a b"`; a key alone means true. Raises BadParameter."""
    tags = {}
    position = 0
    text = text.strip()
    while position < len(text):
        part = _LOGFMT.match(text, position)
        if part is None:
            raise BadParameter(
                f"malformed 'tags' parameter at {text[position:][:40]!r}: it is key=value pairs with spaces "
                'between them, values with spaces in "quotes", or a JSON object of strings'
            )
        quoted, plain = part[2], part[3]
        if quoted is not None:
            tags[part[1]] = re.sub(r"\\(.)", r"\1", quoted)
        else:
            tags[part[1]] = "true" if plain is None else plain
        position = part.end()
    return tags


def parse_dependencies(query: Parameters, now_ms: int) -> tuple[int, int]:
    """The first and the last µs of the window. Raises BadParameter."""
    end = _integer(query, "endTs", now_ms)
    lookback = _integer(query, "lookback", DEFAULT_DEPENDENCY_LOOKBACK_MS)
    return _clamp((end - lookback) * 1000), _clamp(end * 1000)


def parse_v3_search(query: Parameters) -> Search:
    """`query.service_name` and the others. Raises BadParameter."""
    start, end = query.get("query.start_time_min", ""), query.get("query.start_time_max", "")
    if not start or not end:
        raise BadParameter("query.start_time_min and query.start_time_max are required")
    name = "query.search_depth" if query.get("query.search_depth", "") else "query.num_traces"
    limit = _v3_integer(query, name, DEFAULT_LIMIT)
    durations = []
    for bound in ("query.duration_min", "query.duration_max"):
        text = query.get(bound, "")
        try:
            durations.append(parse_duration(text) if text else 0)
        except ValueError as error:
            raise BadParameter(f"malformed parameter {bound}: {error}") from error
    attributes = query.get("query.attributes", "")
    return Search(
        service=query.get("query.service_name", ""),
        operation=query.get("query.operation_name", ""),
        tags=_json_tags(attributes) if attributes else {},
        start_us=parse_rfc3339(start, "query.start_time_min"),
        end_us=parse_rfc3339(end, "query.start_time_max"),
        min_duration_us=durations[0],
        max_duration_us=durations[1],
        limit=max(1, min(limit, MAX_LIMIT)),
    )


def parse_rfc3339(text: str, name: str) -> int:
    """µs since the epoch. Raises BadParameter."""
    try:
        found = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
        if found.tzinfo is None:
            raise ValueError("it has no time zone")
        since = found - datetime(1970, 1, 1, tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise BadParameter(f"malformed parameter {name}: {text[:80]!r} is not RFC 3339: {error}") from error
    return (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds


def parse_bool(query: Parameters, name: str) -> bool:
    """Go's `strconv.ParseBool`; absent is false. Raises BadParameter."""
    text = query.get(name, "")
    if text in ("", "0", "f", "F", "false", "FALSE", "False"):
        return False
    if text in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    raise BadParameter(f"malformed parameter {name}: {text[:80]!r} is not true or false")


def _json_tags(text: str) -> dict[str, str]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadParameter(f"malformed 'tags' parameter, cannot unmarshal JSON: {error}") from error
    if not isinstance(found, Mapping) or not all(isinstance(value, str) for value in found.values()):
        raise BadParameter("malformed 'tags' parameter, cannot unmarshal JSON: it must be an object of strings")
    return dict(found)


def _lookback(query: Parameters) -> int:
    text = query.get("lookback", "")
    if text in ("", "custom"):
        return DEFAULT_LOOKBACK_US
    try:
        return parse_duration(text)
    except ValueError as error:
        raise BadParameter(f"unable to parse param 'lookback': {error}") from error


def _duration(query: Parameters, name: str) -> int:
    text = query.get(name, "").replace(" ", "")
    try:
        return _clamp(parse_duration(text)) if text else 0
    except ValueError as error:
        raise BadParameter(f"unable to parse param '{name}': {error}") from error


def _integer(query: Parameters, name: str, default: int) -> int:
    text = query.get(name, "")
    if not text:
        return _clamp(default)
    if not re.fullmatch(r"[+-]?\d{1,30}", text, re.ASCII):
        raise BadParameter(f"unable to parse param '{name}': {text[:80]!r} is not an integer")
    value = int(text)
    if not -_INT64 <= value < _INT64:
        raise BadParameter(f"unable to parse param '{name}': {text} does not fit 64 bits")
    return value


def _v3_integer(query: Parameters, name: str, default: int) -> int:
    try:
        return _integer(query, name, default)
    except BadParameter as error:
        raise BadParameter(f"malformed parameter {name}: {error}") from error


def _clamp(value: int) -> int:
    return max(-_INT64, min(value, _INT64 - 1))
