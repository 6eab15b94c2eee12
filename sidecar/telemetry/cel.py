"""CEL expressions over a finished request, compiled once to closures: what access-log filters say (Telemetry's
`filter.expression`).

The language: literals, lists, `? :`, `|| && !`, comparisons, `in`, `+ - * / %`, indexing, `has()`, `size()`, `int()`,
`double()`, `duration()`, and the methods contains, endsWith, matches, size, startsWith. Names are Envoy's attributes
(`cel_attributes`). What is not understood is refused when it is compiled; what can not be evaluated (a header that is
not there) makes the answer no, as in Envoy, unless the other side of `||` or `&&` decides alone.

Source: cel-spec, langdef.md; Envoy, "Attributes". cel-python takes a thousand times as long per request.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import re2

from sidecar.telemetry.cel_attributes import ATTRIBUTES
from sidecar.telemetry.cel_values import (
    Evaluate,
    NoValue,
    call,
    compare_texts,
    constant,
    either,
    exists,
    index,
    operation,
    text_of,
    truth,
)
from sidecar.telemetry.stream_info import StreamInfo

#: Bounds on what comes from outside.
MAX_LENGTH = 4096
MAX_DEPTH = 48


class InvalidExpression(ValueError):
    """The text is no expression that this proxy knows; the message says what and where."""


_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>0x[0-9a-fA-F]+u?|(?:\d+\.\d+|\d+(?=[eE]))(?:[eE][+-]?\d+)?|\d+u?)
    |(?P<string>r?"(?:[^"\\]|\\.)*"|r?'(?:[^'\\]|\\.)*')
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<symbol>\|\||&&|==|!=|<=|>=|[-+*/%<>!?:.,()\[\]])
    )""",
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"', "`": "`", "?": "?"}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s|us|ns)")
_UNIT_NS = {"h": 3_600_000_000_000, "m": 60_000_000_000, "s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_METHODS = ("contains", "endsWith", "matches", "size", "startsWith")
_FUNCTIONS = ("double", "duration", "has", "int", "size")


def compile_expression(text: str) -> Callable[[StreamInfo], bool]:
    """A predicate of a finished request. Raises InvalidExpression."""
    if len(text) > MAX_LENGTH:
        raise InvalidExpression(f"is longer than {MAX_LENGTH} characters")
    parser = _Parser(_tokens(text))
    evaluate = parser.conditional()
    parser.end()

    def decide(info: StreamInfo) -> bool:
        try:
            return evaluate(info) is True
        except NoValue:
            return False

    return decide


def _tokens(text: str) -> list[tuple[str, str, int]]:
    found = []
    at = 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise InvalidExpression(f"position {at}: {text[at : at + 20]!r} is not understood")
        found.append((match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        at = match.end()
    return found


class _Parser:
    """Recursive descent, one method for each level of precedence; every method answers a closure."""

    def __init__(self, tokens: list[tuple[str, str, int]]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    # ---- tokens

    def _peek(self) -> str:
        """The next symbol or name; "" at the end, and for literals."""
        if self._at >= len(self._tokens):
            return ""
        kind, text, _ = self._tokens[self._at]
        return text if kind in ("symbol", "name") else ""

    def _take(self, *symbols: str) -> str:
        """The next token where it is one of these, else ""."""
        text = self._peek()
        if text and text in symbols:
            self._at += 1
            return text
        return ""

    def _expect(self, symbol: str) -> None:
        if not self._take(symbol):
            self._fail(f"{symbol!r} is expected")

    def _fail(self, reason: str) -> Any:
        if self._at < len(self._tokens):
            _, text, at = self._tokens[self._at]
            raise InvalidExpression(f"position {at}, at {text!r}: {reason}")
        raise InvalidExpression(f"at the end: {reason}")

    def end(self) -> None:
        """Nothing may follow."""
        if self._at < len(self._tokens):
            self._fail("an operator is expected")

    # ---- levels of precedence

    def conditional(self) -> Evaluate:
        """`a ? b : c`."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fail(f"nested deeper than {MAX_DEPTH} levels")
        test = self._or()
        if self._take("?"):
            then = self._or()
            self._expect(":")
            other = self.conditional()
            self._depth -= 1
            return lambda info: then(info) if truth(test(info)) else other(info)
        self._depth -= 1
        return test

    def _or(self) -> Evaluate:
        left = self._and()
        while self._take("||"):
            left = either(left, self._and(), True)
        return left

    def _and(self) -> Evaluate:
        left = self._relation()
        while self._take("&&"):
            left = either(left, self._relation(), False)
        return left

    def _relation(self) -> Evaluate:
        left = self._sum()
        while operator := self._take("==", "!=", "<", "<=", ">", ">=", "in"):
            left = operation(operator, left, self._sum())
        return left

    def _sum(self) -> Evaluate:
        left = self._product()
        while operator := self._take("+", "-"):
            left = operation(operator, left, self._product())
        return left

    def _product(self) -> Evaluate:
        left = self._unary()
        while operator := self._take("*", "/", "%"):
            left = operation(operator, left, self._unary())
        return left

    def _unary(self) -> Evaluate:
        nots = minuses = 0
        while self._take("!"):
            nots += 1
        while not nots and self._take("-"):
            minuses += 1
        value = self._member()
        if nots:
            return lambda info: truth(value(info)) is (nots % 2 == 0)
        return operation("-", constant(0), value) if minuses % 2 else value

    # ---- primaries

    def _member(self) -> Evaluate:
        value = self._primary()
        while True:
            if self._take("["):
                key = self.conditional()
                self._expect("]")
                value = index(value, key)
            elif self._take("."):
                name = self._name()
                value = self._method(value, name) if self._peek() == "(" else index(value, constant(name))
            else:
                return value

    def _name(self) -> str:
        if self._at < len(self._tokens) and self._tokens[self._at][0] == "name":
            self._at += 1
            return self._tokens[self._at - 1][1]
        return str(self._fail("a name is expected"))

    def _primary(self) -> Evaluate:
        if self._take("("):
            value = self.conditional()
            self._expect(")")
            return value
        if self._take("["):
            items = self._arguments("]")
            return lambda info: [item(info) for item in items]
        if self._at >= len(self._tokens):
            return self._fail("a value is expected")  # type: ignore[no-any-return]
        kind, text, _ = self._tokens[self._at]
        if kind == "symbol":
            return self._fail("a value is expected")  # type: ignore[no-any-return]
        self._at += 1
        if kind == "number":
            return constant(_number(text))
        if kind == "string":
            return constant(_string(text))
        if text in ("true", "false", "null"):
            return constant({"true": True, "false": False, "null": None}[text])
        if self._peek() == "(":
            return self._function(text)
        return self._attribute(text)

    def _attribute(self, root: str) -> Evaluate:
        """`request.path`: two names, which are one attribute."""
        self._at -= 1
        if root not in _ROOTS:
            self._fail(f"{root!r} is no attribute; there are {', '.join(sorted(_ROOTS))}")
        self._at += 1
        self._expect(".")
        start = self._at
        name = f"{root}.{self._name()}"
        if name not in ATTRIBUTES:
            self._at = start
            known = ", ".join(sorted(one for one in ATTRIBUTES if one.startswith(root + ".")))
            self._fail(f"{name} is not known to this proxy; it knows {known}")
        read = ATTRIBUTES[name]

        def value(info: StreamInfo) -> Any:
            found = read(info)
            if found is None:
                raise NoValue
            return found

        return value

    def _arguments(self, closing: str) -> list[Evaluate]:
        found: list[Evaluate] = []
        if self._take(closing):
            return found
        while True:
            found.append(self.conditional())
            if not self._take(","):
                self._expect(closing)
                return found

    def _function(self, name: str) -> Evaluate:
        if name not in _FUNCTIONS:
            self._at -= 1
            self._fail(f"the function {name}() is not known to this proxy; it knows {', '.join(_FUNCTIONS)}")
        self._expect("(")
        start = self._at
        arguments = self._arguments(")")
        if len(arguments) != 1:
            self._at = start
            self._fail(f"{name}() takes one argument")
        argument = arguments[0]
        if name == "has":
            return lambda info: exists(argument, info)
        if name == "duration":
            return constant(self._duration(argument, start))
        return lambda info: call(name, argument(info))

    def _duration(self, argument: Evaluate, start: int) -> int:
        text = self._literal(argument, start, "duration()")
        parts = _DURATION.findall(text)
        if not parts or "".join(number + unit for number, unit in parts) != text:
            self._at = start
            self._fail(f"{text!r} is no duration; write 500ms or 1m30s")
        return sum(round(float(number) * _UNIT_NS[unit]) for number, unit in parts)

    def _literal(self, argument: Evaluate, start: int, what: str) -> str:
        if self._tokens[start][0] != "string":
            self._at = start
            self._fail(f"{what} wants a text written out here")
        return str(argument(StreamInfo(0.0, 0)))

    def _method(self, value: Evaluate, name: str) -> Evaluate:
        if name not in _METHODS:
            self._at -= 1
            self._fail(f"the method {name}() is not known to this proxy; it knows {', '.join(_METHODS)}")
        self._expect("(")
        start = self._at
        arguments = self._arguments(")")
        if len(arguments) != (0 if name == "size" else 1):
            self._at = start
            self._fail(f"{name}() takes {'no argument' if name == 'size' else 'one argument'}")
        if name == "size":
            return lambda info: call("size", value(info))
        argument = arguments[0]
        if name == "matches":
            return self._matches(value, argument, start)
        return lambda info: compare_texts(name, value(info), argument(info))

    def _matches(self, value: Evaluate, argument: Evaluate, start: int) -> Evaluate:
        pattern = self._literal(argument, start, "matches()")
        options = re2.Options()
        options.log_errors = False
        try:
            search = re2.compile(pattern, options).search
        except re2.error as error:
            self._at = start
            self._fail(f"invalid regex: {error.args[0]}")
        return lambda info: search(text_of(value(info))) is not None


_ROOTS = frozenset(name.partition(".")[0] for name in ATTRIBUTES)


def _number(text: str) -> int | float:
    digits = text.rstrip("u")
    if digits.startswith("0x"):
        return int(digits, 16)
    return int(digits) if digits.isdigit() else float(digits)


def _string(text: str) -> str:
    if text.startswith("r"):
        return text[2:-1]

    def escaped(match: re.Match[str]) -> str:
        if match[1] not in _ESCAPES:
            raise InvalidExpression(f"the escape \\{match[1]} in {text} is not understood")
        return _ESCAPES[match[1]]

    return re.sub(r"\\(.)", escaped, text[1:-1])
