"""Access log formats read backwards: a line that a format wrote becomes the fields that went into it.

Envoy does not quote what it fills in, so a client can put quotation marks and blanks into its User-Agent. Free text is
therefore first taken to hold no quotation mark; a line that does not fit then is read from both ends, and what lies
between the first and the last free text is given up: nobody can forge the fields that proxies themselves set.

Source: Envoy, "Access log command operators"; Istio's default text and JSON formats.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from lugsail.requests.line import Line, line_of

#: Istio's MeshConfig.accessLogFormat where nothing else is said.
ISTIO_TEXT = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% '
    "%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "
    '"%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% '
    '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" '
    '"%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% '
    "%DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n"
)

#: Command operator → field of a Line.
OPERATORS = {
    "START_TIME": "start",
    "REQ(:METHOD)": "method",
    "REQ(X-ENVOY-ORIGINAL-PATH?:PATH)": "path",
    "REQ(:PATH)": "path",
    "PATH(WQ:ORIG)": "path",
    "PROTOCOL": "protocol",
    "RESPONSE_CODE": "code",
    "RESPONSE_FLAGS": "flags",
    "RESPONSE_CODE_DETAILS": "details",
    "UPSTREAM_TRANSPORT_FAILURE_REASON": "failure",
    "DURATION": "duration_ms",
    "REQ(X-REQUEST-ID)": "request_id",
    "REQ(:AUTHORITY)": "authority",
    "REQ(USER-AGENT)": "user_agent",
    "UPSTREAM_HOST": "upstream_host",
    "UPSTREAM_CLUSTER": "cluster",
    "UPSTREAM_CLUSTER_RAW": "cluster",
    "UPSTREAM_LOCAL_ADDRESS": "upstream_local",
    "DOWNSTREAM_LOCAL_ADDRESS": "downstream_local",
    "DOWNSTREAM_REMOTE_ADDRESS": "downstream_remote",
    "ROUTE_NAME": "route_name",
}
#: What a format needs to have, so that its lines tell of a request.
NEEDED = ("start", "method", "path", "code")

#: Istio's default JSON labels → fields; labels of one's own come from the mesh config.
ISTIO_JSON = {
    "start_time": "start",
    "response_code": "code",
    "response_flags": "flags",
    "response_code_details": "details",
    "duration": "duration_ms",
    "upstream_cluster": "cluster",
    "upstream_local_address": "upstream_local",
    "downstream_local_address": "downstream_local",
    "downstream_remote_address": "downstream_remote",
    "upstream_transport_failure_reason": "failure",
    "method": "method",
    "path": "path",
    "protocol": "protocol",
    "request_id": "request_id",
    "authority": "authority",
    "user_agent": "user_agent",
    "upstream_host": "upstream_host",
    "route_name": "route_name",
}

MAX_LINE_BYTES = 64 * 1024
_COMMAND = re.compile(r"%([A-Z0-9_]+(?:\([^)]*\))?)(?::[0-9]+)?%")
_NUMBER = {"code", "duration_ms"}
_FREE = re.compile(r"REQ\((?!:METHOD|:PATH|:AUTHORITY|X-ENVOY-ORIGINAL-PATH|X-REQUEST-ID)|RESP\(|TRAILER\(|REQ_WITHOUT")


class UnreadableFormat(ValueError):
    """A format whose lines do not tell enough; the message says what is missing."""


class TextFormat:
    """One accessLogFormat. Raises UnreadableFormat."""

    def __init__(self, text: str = ISTIO_TEXT) -> None:
        parts = _COMMAND.split(text.rstrip("\n"))
        fields = {OPERATORS.get(command, "") for command in parts[1::2]}
        _check(fields)
        patterns = _patterns(parts)
        free = [n for n, (_, is_free) in enumerate(patterns) if is_free]
        self._strict = re.compile("".join(pattern for pattern, _ in patterns), re.DOTALL)
        self._tolerant: re.Pattern[str] | None = None
        if free:
            kept = [pattern for pattern, _ in patterns]
            kept[free[0] : free[-1] + 1] = [".*"]
            self._tolerant = re.compile("".join(kept), re.DOTALL)

    def read(self, proxy: str, text: str) -> Line | None:
        """The line's request; None where the line has another form."""
        match = self._strict.fullmatch(text) or (self._tolerant.fullmatch(text) if self._tolerant else None)
        return None if match is None else line_of(proxy, match.groupdict())


class JsonFormat:
    """JSON lines; `labels` → operators as in accessLogFormat, or None for Istio's own. Raises UnreadableFormat."""

    def __init__(self, labels: Mapping[str, Any] | None = None) -> None:
        if labels is None:
            self._labels = dict(ISTIO_JSON)
            return
        self._labels = {}
        for label, value in labels.items():
            command = _COMMAND.fullmatch(value) if isinstance(value, str) else None
            if command is not None and command[1] in OPERATORS:
                self._labels[label] = OPERATORS[command[1]]
        _check(set(self._labels.values()))

    def read(self, proxy: str, text: str) -> Line | None:
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return None
        if not isinstance(found, dict):
            return None
        return line_of(proxy, {field: found[label] for label, field in self._labels.items() if label in found})


class Reader:
    """Reads lines of whatever known format; what is not an access log line is None."""

    def __init__(self, texts: tuple[TextFormat, ...] = (), jsons: tuple[JsonFormat, ...] = ()) -> None:
        self._texts = texts or (TextFormat(),)
        self._jsons = jsons or (JsonFormat(),)

    def read(self, proxy: str, raw: bytes) -> Line | None:
        """`raw`: one line without its line feed."""
        if len(raw) > MAX_LINE_BYTES or not raw:
            return None
        text = raw.decode("utf-8", "surrogateescape").rstrip("\r")
        for form in self._jsons if text.startswith("{") else self._texts:
            if (line := form.read(proxy, text)) is not None:
                return line
        return None


def reader_of(mesh: Mapping[str, Any]) -> tuple[Reader, list[str]]:
    """The reader for a mesh config as the control plane's /debug/mesh tells it, and what people must know."""
    texts, jsons, notes = [], [], []
    own = str(mesh.get("access_log_format") or "")
    is_json = bool(mesh.get("access_log_json"))
    try:
        if is_json and own:
            jsons.append(JsonFormat(json.loads(own)))
        elif own and own != ISTIO_TEXT:
            texts.append(TextFormat(own))
    except (UnreadableFormat, ValueError) as problem:
        notes.append(f"accessLogFormat of the mesh config cannot be read back: {problem}; such lines are left out.")
    for name, each in _provider_formats(mesh):
        try:
            if isinstance(each, str):
                texts.append(TextFormat(each))
            else:
                jsons.append(JsonFormat(each))
        except UnreadableFormat as problem:
            notes.append(f"The log format of provider {name} cannot be read back: {problem}; such lines are left out.")
    if mesh and not mesh.get("access_log_file") and not mesh.get("default_access_logging"):
        notes.append(
            "The mesh config has no accessLogFile: proxies log only where a Telemetry resource says so. "
            "`accessLogFile: /dev/stdout` turns it on."
        )
    elif mesh.get("access_log_file") not in (None, "", "/dev/stdout", "/dev/stderr"):
        path = mesh["access_log_file"]
        notes.append(f"Access logs go to {path} of each proxy, not to its output: they cannot be read from here.")
    return Reader((*texts, TextFormat()), (*jsons, JsonFormat())), notes


def _provider_formats(mesh: Mapping[str, Any]) -> list[tuple[str, Any]]:
    found = []
    for provider in mesh.get("providers") or ():
        log = provider.get("envoyFileAccessLog") if isinstance(provider, Mapping) else None
        form = (log or {}).get("logFormat") or {}
        own = form.get("text") or form.get("labels")
        if own:
            found.append((str(provider.get("name", "")), own))
    return found


def _check(fields: set[str]) -> None:
    if missing := [name for name in NEEDED if name not in fields]:
        wanted = {field: f"%{operator}%" for operator, field in reversed(OPERATORS.items())}
        raise UnreadableFormat(f"it lacks {', '.join(wanted[name] for name in missing)}")


def _patterns(parts: list[str]) -> list[tuple[str, bool]]:
    """(pattern, whether it is free text of the client) for literals and commands in turn."""
    out: list[tuple[str, bool]] = []
    seen: set[str] = set()
    for n, part in enumerate(parts):
        if n % 2 == 0:
            out.append((re.escape(part.replace("%%", "%")), False))
            continue
        field = OPERATORS.get(part, "")
        quoted = parts[n - 1].endswith('"') and parts[n + 1].startswith('"')
        if field in _NUMBER:
            pattern = r"-|\d{1,18}"
        elif field == "start":
            pattern = r"[0-9T:.Z+-]{10,40}"
        else:
            pattern = r'[^"]*' if quoted else r"\S*"
        is_named = bool(field) and field not in seen
        seen.add(field)
        out.append((f"(?P<{field}>{pattern})" if is_named else f"(?:{pattern})", bool(_FREE.match(part))))
    return out
