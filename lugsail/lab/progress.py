"""Shows how the lab comes up: a line per component, in place on a terminal, appended elsewhere."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

BOLD, DIM, RED, GREEN, YELLOW, PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[0m"

SHOWN_NAMES = {"tracing": "traces", "prometheus": "Prometheus", "grafana": "Grafana"}


@dataclass
class Row:
    """One line of the display: a pod or the control plane, with the parts that must get ready."""

    name: str
    parts: dict[str, str]  # part → what is shown for it
    place: str = ""
    bad: bool = False


class Progress:
    """Renders a lab's events. `colour` also means that lines may be redrawn."""

    def __init__(self, stream: TextIO, colour: bool) -> None:
        self._stream = stream
        self._colour = colour
        self._rows: dict[str, Row] = {}
        self._drawn = 0
        self._live = True
        self._in_place = False  # whether rows are redrawn: only where all of them fit on the terminal
        self._started = time.monotonic()

    def plan(self, event: dict[str, Any]) -> None:
        """The first event: which rows there will be. `rows`: [name, place, [part, …]]."""
        for name, place, parts in event["rows"]:
            self._rows[name] = Row(name, dict.fromkeys(parts, "waiting"), place)
        self._in_place = self._colour and len(self._rows) < shutil.get_terminal_size().lines
        self._redraw()

    def __call__(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "plan":
            self.plan(event)
        elif kind == "component":
            self._component(event)
        elif kind == "note":
            self._line(self._paint(YELLOW if event["level"] == "warning" else PLAIN, f"  {event['text']}"))
        elif kind == "first page":
            seconds = time.monotonic() - self._started
            self._line(f"  /productpage answered 200 after {seconds:.1f} s")
        elif kind == "up":
            self._live = False

    def _component(self, event: dict[str, Any]) -> None:
        part, _, workload = event["name"].partition(":")
        row = self._rows.get(workload or part)
        state = event["state"]
        if state == "waiting to restart":
            self._line(self._paint(YELLOW, f"  {event['name']}: {event['detail']}"))
        if row is None or part not in row.parts:
            return
        if state == "ready":
            row.parts[part] = f"ready {event['ms']:.0f} ms"
        else:
            row.parts[part] = state
        if self._live and not self._in_place and all(text.startswith("ready") for text in row.parts.values()):
            self._stream.write(self._format(row) + "\n")
            self._stream.flush()
        elif not self._live and state == "ready" and event["restarts"]:
            self._line(self._paint(GREEN, f"  {event['name']}: ready again"))
        self._redraw()

    def _redraw(self) -> None:
        if not (self._in_place and self._live and self._rows):
            return
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        lines = "".join(f"\x1b[2K{self._format(row)}\n" for row in self._rows.values())
        self._stream.write(up + lines)
        self._stream.flush()
        self._drawn = len(self._rows)

    def _line(self, text: str) -> None:
        """A line that stays; on a terminal the rows are drawn anew below it."""
        if self._in_place and self._live and self._drawn:
            self._stream.write(f"\x1b[{self._drawn}A\x1b[J")
            self._drawn = 0
        self._stream.write(text + "\n")
        self._stream.flush()
        self._redraw()

    def _format(self, row: Row) -> str:
        done = all(text.startswith("ready") for text in row.parts.values())
        mark = self._paint(GREEN, "✓") if done else self._paint(DIM, "·")
        shown = []
        for part, text in row.parts.items():
            label = "" if part == row.name else f"{part} "
            shown.append(f"{label + text:<21}")
        return f"  {mark} {row.name:<21}{row.place:<13}{''.join(shown)}".rstrip()

    def _paint(self, code: str, text: str) -> str:
        return f"{code}{text}{PLAIN}" if self._colour else text


def plan_event(
    pods: Sequence[Any], control_plane_ip: str, observers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The `plan` event for these pods. `observers`: name → address."""
    rows: list[list[Any]] = [["control plane", control_plane_ip, ["control plane"]]]
    for pod in pods:
        has_app = pod.workload.command is not None and pod.app_port is not None
        rows.append([pod.name, pod.ip, ["app", "proxy"] if has_app else ["proxy"]])
    rows += [[name, ip, [name]] for name, ip in (observers or {}).items()]
    return {"event": "plan", "rows": rows}


def summary(
    gateway_url: str,
    control_plane_url: str,
    has_bookinfo: bool,
    paint: bool,
    program: str = "lugsail",
    samples: str = "samples",
    metrics: str | None = None,
    observers: Mapping[str, str] | None = None,
) -> str:
    """What the user sees when the lab is up: addresses, and three things to try.

    `observers`: what watches the mesh, name → URL. `program` and `samples`: how the command and the
    samples folder are reached from where the user is.
    """

    def bold(text: str) -> str:
        return f"{BOLD}{text}{PLAIN}" if paint else text

    host = control_plane_url.rpartition(":")[0]
    urls = [
        ("the page", f"{gateway_url}/productpage") if has_bookinfo else ("ingress gateway", gateway_url),
        ("control plane", control_plane_url),
    ]
    if observers:
        urls += [(SHOWN_NAMES.get(name, name), url) for name, url in observers.items()]
    if "metrics" not in (observers or {}):
        urls.append(("metrics", metrics or f"{host}:15014/metrics"))
    tries = [
        (
            "black stars for jason (sign in, any password), none for others",
            f"{program} apply -f {samples}/bookinfo/destination-rule-all.yaml "
            f"-f {samples}/bookinfo/virtual-service-reviews-test-v2.yaml",
        ),
        (
            "a request as productpage makes it, through its sidecar",
            f"{program} exec productpage-v1 -- curl -s http://reviews:9080/reviews/0",
        ),
        ("who has which configuration", f"{program} proxy-status"),
    ]
    if not has_bookinfo:
        tries = [("what runs", f"{program} status"), tries[2], ("what is configured", f"{program} get sidecar")]
    lines = ["", bold("The mesh is up")]
    lines += [f"  {name:<17}{url}" for name, url in urls]
    lines += ["", bold("Try")]
    lines += [line for what, command in tries for line in (f"  # {what}", f"  {command}")]
    return "\n".join(lines)
