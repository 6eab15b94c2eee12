"""Reading the values that all Envoy protos share: durations, fractions, regexes, string matchers, packed messages.

Shared by the compiler and by the filters, which read their own settings. Everything here refuses with Rejected.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeVar

import re2
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, Message

from sidecar.config.matchers import HeaderMatch, Regex, StringMatch
from sidecar.config.rejected import At

M = TypeVar("M", bound=Message)

#: Largest compiled program a regex may have, as Istio's bootstrap sets it (re2.max_program_size.error_level).
MAX_REGEX_PROGRAM = 32768
_MAX_REGEX_MEMORY_BYTES = 8 << 20
#: envoy.type.v3.FractionalPercent.DenominatorType by number.
_DENOMINATORS = (100, 10_000, 1_000_000)
#: google.protobuf.Duration's own bound.
_MAX_SECONDS = 315_576_000_000

_HEADER_FIELDS = (
    "name",
    "exact_match",
    "safe_regex_match",
    "range_match",
    "present_match",
    "prefix_match",
    "suffix_match",
    "contains_match",
    "string_match",
    "invert_match",
    "treat_missing_header_as_empty",
)

_OPTIONS = re2.Options()
_OPTIONS.max_mem = _MAX_REGEX_MEMORY_BYTES
_OPTIONS.log_errors = False


def duration_ms(message: Any, field: str, at: At, default: float | None = None) -> float | None:
    """Milliseconds of a Duration field; `default` where it is not set."""
    if not message.HasField(field):
        return default
    value = getattr(message, field)
    milliseconds = float(value.seconds * 1000 + value.nanos / 1_000_000)
    if milliseconds < 0 or abs(value.seconds) > _MAX_SECONDS:
        at.field(field).reject(f"{milliseconds:g} ms is not a duration that can be waited for; give 0s or more")
    return milliseconds


def timeout_ms(message: Any, field: str, at: At, default: float | None = None) -> float | None:
    """As `duration_ms`, for timeouts: 0 means that there is none, which is None."""
    return duration_ms(message, field, at, default) or None


def wrapped(message: Any, field: str, default: Any) -> Any:
    """The value of a wrapper field (UInt32Value, BoolValue …), or `default` where it is not set."""
    return getattr(message, field).value if message.HasField(field) else default


def fraction(percent: Any) -> float:
    """envoy.type.v3.FractionalPercent as a number in [0, 1]."""
    return min(1.0, float(percent.numerator) / _DENOMINATORS[percent.denominator])


def runtime_fraction(percent: Any) -> float:
    """envoy.config.core.v3.RuntimeFractionalPercent as a number in [0, 1]; there is no runtime layer to override it."""
    return fraction(percent.default_value)


def regex(pattern: str, at: At) -> Regex:
    """A compiled RE2 pattern over bytes."""
    try:
        compiled = re2.compile(pattern.encode(), _OPTIONS)
    except re2.error as error:
        text = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error.args[0])
        at.reject(f"invalid regex {pattern!r}: {text}")
    if compiled.programsize > MAX_REGEX_PROGRAM:
        at.reject(f"regex {pattern!r} has program size {compiled.programsize}, more than {MAX_REGEX_PROGRAM}")
    return compiled


def regex_matcher(matcher: Any, at: At) -> Regex:
    """envoy.type.matcher.v3.RegexMatcher, compiled."""
    if not matcher.regex:
        at.field("regex").reject("an empty regex; give the pattern to match")
    return regex(matcher.regex, at.field("regex"))


def regex_rewrite(rewrite: Any, at: At) -> tuple[Regex, bytes]:
    """envoy.type.matcher.v3.RegexMatchAndSubstitute: the pattern, and its substitution checked against it."""
    pattern = regex_matcher(rewrite.pattern, at.field("pattern"))
    template = rewrite.substitution.encode()
    position = 0
    while (position := template.find(b"\\", position)) >= 0:
        after = template[position + 1 : position + 2]
        if after.isdigit():
            if int(after) > pattern.groups:
                at.field("substitution").reject(
                    f"\\{int(after)} asks for a group that {rewrite.pattern.regex!r} lacks; it has {pattern.groups}"
                )
        elif after != b"\\":
            at.field("substitution").reject("a backslash must be followed by a digit or a backslash")
        position += 2
    return pattern, template


def string_match(matcher: Any, at: At) -> StringMatch:
    """envoy.type.matcher.v3.StringMatcher."""
    kind = matcher.WhichOneof("match_pattern")
    if kind is None:
        at.reject("a string matcher needs one of exact, prefix, suffix, contains, safe_regex")
    if kind == "safe_regex":
        return StringMatch(kind="regex", regex=regex_matcher(matcher.safe_regex, at.field("safe_regex")))
    if kind not in ("exact", "prefix", "suffix", "contains"):
        at.field(kind).reject("this kind of string matcher is not supported")
    value = getattr(matcher, kind).encode()
    if kind != "exact" and not value:
        at.field(kind).reject("an empty text; give at least one character")
    if matcher.ignore_case:
        value = value.lower()
    return StringMatch(kind=kind, value=value, ignore_case=matcher.ignore_case)


def header_match(matcher: Any, at: At) -> HeaderMatch:
    """envoy.config.route.v3.HeaderMatcher."""
    reject_unhandled(matcher, _HEADER_FIELDS, at)
    name = matcher.name.lower().encode()
    if not name:
        at.field("name").reject("empty; name the header")
    if name == b"host":
        name = b":authority"
    common: dict[str, Any] = {
        "name": name,
        "invert": matcher.invert_match,
        "missing_as_empty": matcher.treat_missing_header_as_empty,
    }
    specifier = matcher.WhichOneof("header_match_specifier")
    if specifier is None or specifier == "present_match":
        if specifier and not matcher.present_match:
            common["invert"] = not common["invert"]
        return HeaderMatch(kind="present", **common)
    if specifier == "range_match":
        value = matcher.range_match
        return HeaderMatch(kind="range", range_start=value.start, range_end=value.end, **common)
    if specifier == "string_match":
        string = string_match(matcher.string_match, at.field(specifier))
    elif specifier == "safe_regex_match":
        string = StringMatch(kind="regex", regex=regex_matcher(matcher.safe_regex_match, at.field(specifier)))
    else:
        kind = specifier.removesuffix("_match")
        string = StringMatch(kind=kind, value=getattr(matcher, specifier).encode())
    return HeaderMatch(kind="string", string=string, **common)


def unpack(packed: AnyMessage, kind: type[M], at: At) -> M:
    """The message in an Any, which must be of type `kind`."""
    name = packed.type_url.rpartition("/")[2]
    if name != kind.DESCRIPTOR.full_name:
        at.reject(f"has type {name or 'none'}, where {kind.DESCRIPTOR.full_name} is expected")
    message = kind()
    try:
        message.ParseFromString(packed.value)
    except DecodeError as error:
        at.reject(f"cannot be decoded as {name}: {error}")
    return message


def reject_unhandled(message: Message, handled: Collection[str], at: At) -> None:
    """Refuse every field that is set and that the caller neither acts on nor ignores on purpose."""
    for field, _ in message.ListFields():
        if field.name not in handled:
            at.field(field.name).reject("is not supported by this proxy")
