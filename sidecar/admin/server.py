"""The admin page with Envoy's paths, and the two small pages beside it: metrics (15090) and readiness (15021)."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from sidecar.admin import stats_page
from sidecar.admin.clusters_page import clusters_json, clusters_text
from sidecar.admin.config_dump import ConfigDump, UnknownResource
from sidecar.telemetry import prometheus
from sidecar.telemetry.stats import Stats
from sidecar.upstream.cluster import ClusterRuntime

log = logging.getLogger(__name__)

VERSION = "lugsail/0.1.0"
_LEVELS = {"trace": 5, "debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50, "off": 60}
_LOGGERS = ("main", "admin", "agent", "xds", "compiler", "listener", "http", "router", "filters", "upstream", "network")
_HEADERS = {"cache-control": "no-cache, max-age=0", "x-content-type-options": "nosniff", "server": "envoy"}
#: A filter is a regular expression from outside.
_MAX_FILTER_CHARS = 512

Handler = Callable[[Mapping[str, str]], Awaitable[web.Response]]


@dataclass(kw_only=True)
class ProxyView:
    """What the admin page shows of the proxy, and what it may ask of it.

    `listeners()` are (name, ip, port); `initialized()` whether the first configuration is in use;
    `drain(inbound_only)` ends listeners.
    """

    bootstrap: Mapping[str, Any]
    stats: Stats
    config_dump: ConfigDump
    clusters: Callable[[], Iterable[ClusterRuntime]]
    listeners: Callable[[], Iterable[tuple[str, str, int]]]
    initialized: Callable[[], bool]
    drain: Callable[[bool], None]
    quit: Callable[[], None]
    reopen_logs: Callable[[], None]
    options: Mapping[str, Any] = field(default_factory=dict)
    started_s: float = field(default_factory=time.time)
    health_failed: bool = False

    @property
    def state(self) -> str:
        """Envoy's server state."""
        if self.health_failed:
            return "DRAINING"
        return "LIVE" if self.initialized() else "PRE_INITIALIZING"


class Admin:
    """Serves the pages of one proxy; each address is (ip, port)."""

    def __init__(
        self, view: ProxyView, *, admin: tuple[str, int], prometheus: tuple[str, int], health: tuple[str, int]
    ) -> None:
        self._view = view
        self._admin = admin
        self._small_pages = {"prometheus": prometheus, "health": health}
        self._runners: list[web.AppRunner] = []
        #: path → (handler, needs POST, what it does); also the help page.
        self._pages: dict[str, tuple[Handler, bool, str]] = {
            "/certs": (self._certs, False, "print certs on machine"),
            "/clusters": (self._clusters, False, "upstream cluster status; filter, format=text|json"),
            "/config_dump": (self._dump, False, "dump current configs; resource, mask, name_regex, include_eds"),
            "/drain_listeners": (self._drain, True, "drain listeners; inboundonly"),
            "/healthcheck/fail": (self._fail, True, "cause the server to fail health checks"),
            "/healthcheck/ok": (self._pass, True, "cause the server to pass health checks"),
            "/help": (self._help, False, "print out list of admin commands"),
            "/listeners": (self._listeners, False, "print listener info; format=text|json"),
            "/logging": (self._logging, True, "query/change logging levels; level, paths"),
            "/memory": (self._memory, False, "print current memory usage"),
            "/quitquitquit": (self._quit, True, "exit the server"),
            "/ready": (self._ready, False, "print server state, return 200 if LIVE, otherwise return 503"),
            "/reopen_logs": (self._reopen, True, "reopen access logs"),
            "/reset_counters": (self._reset, True, "reset all counters to zero"),
            "/server_info": (self._server_info, False, "print server version/status information"),
            "/stats": (self._stats, False, "print server stats; filter, format=text|json|prometheus, usedonly"),
            "/stats/prometheus": (self._prometheus, False, "print server stats in prometheus format"),
        }

    async def start(self) -> None:
        """Listen. Raises OSError that names the busy address."""
        pages = (
            (self._admin, self._pages),
            (self._small_pages["prometheus"], {"/stats/prometheus": self._pages["/stats/prometheus"]}),
            (self._small_pages["health"], {"/healthz/ready": self._pages["/ready"]}),
        )
        for (address, port), served in pages:
            app = web.Application()
            app.router.add_route("*", "/{tail:.*}", _dispatcher(served))
            runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.5)
            await runner.setup()
            self._runners.append(runner)
            try:
                await web.TCPSite(runner, address, port, reuse_address=True).start()
            except OSError as error:
                raise OSError(error.errno, f"can not listen on {address}:{port}: {error.strerror}") from error

    async def stop(self) -> None:
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()

    async def _certs(self, query: Mapping[str, str]) -> web.Response:
        return _json({"certificates": []})

    async def _clusters(self, query: Mapping[str, str]) -> web.Response:
        wanted = _regex(query, "filter")
        clusters = [one for one in self._view.clusters() if wanted is None or wanted.search(one.name)]
        if query.get("format") == "json":
            return _json(clusters_json(clusters))
        return _text(clusters_text(clusters))

    async def _dump(self, query: Mapping[str, str]) -> web.Response:
        dump = self._view.config_dump
        name, mask = _regex(query, "name_regex"), query.get("mask", "")
        resource = query.get("resource")
        if resource is None:
            return _json(await dump.whole(include_eds="include_eds" in query, name=name, mask=mask))
        try:
            return _json(await dump.only(resource, name=name, mask=mask))
        except UnknownResource as error:
            return _text(f"{error}\n", status=404)

    async def _drain(self, query: Mapping[str, str]) -> web.Response:
        self._view.drain("inboundonly" in query)
        return _text("OK\n")

    async def _fail(self, query: Mapping[str, str]) -> web.Response:
        self._view.health_failed = True
        return _text("OK\n")

    async def _pass(self, query: Mapping[str, str]) -> web.Response:
        self._view.health_failed = False
        return _text("OK\n")

    async def _help(self, query: Mapping[str, str]) -> web.Response:
        return _text(_help_text(self._pages))

    async def _listeners(self, query: Mapping[str, str]) -> web.Response:
        own = [(name, *address) for name, address in self._small_pages.items()]
        listeners = sorted([*self._view.listeners(), *own])
        if query.get("format") != "json":
            return _text("".join(f"{name}::{ip}:{port}\n" for name, ip, port in listeners))
        statuses = [
            {"name": name, "local_address": {"socket_address": {"address": ip, "port_value": port}}}
            for name, ip, port in listeners
        ]
        return _json({"listener_statuses": statuses})

    async def _logging(self, query: Mapping[str, str]) -> web.Response:
        changes = {}
        if query.get("level"):
            changes = dict.fromkeys(_LOGGERS, query["level"])
        for change in filter(None, query.get("paths", "").split(",")):
            name, _, level = change.partition(":")
            changes[name] = level
        for name, level in changes.items():
            if name not in _LOGGERS or level not in _LEVELS:
                known = f"loggers: {', '.join(_LOGGERS)}; levels: {', '.join(_LEVELS)}"
                return _text(f"error: invalid logger or level {name}:{level}; {known}\n", status=400)
        for name, level in changes.items():
            logging.getLogger(f"sidecar.{name}").setLevel(_LEVELS[level])
        words = {number: word for word, number in _LEVELS.items()}
        lines = ["active loggers:"]
        for name in _LOGGERS:
            effective = logging.getLogger(f"sidecar.{name}").getEffectiveLevel()
            lines.append(f"  {name}: {words.get(effective, effective)}")
        return _text("\n".join(lines) + "\n")

    async def _memory(self, query: Mapping[str, str]) -> web.Response:
        resident = str(resident_bytes())
        return _json(
            {
                "allocated": resident,
                "heap_size": resident,
                "pageheap_unmapped": "0",
                "pageheap_free": "0",
                "total_thread_cache": "0",
                "total_physical_bytes": resident,
            }
        )

    async def _quit(self, query: Mapping[str, str]) -> web.Response:
        # After the answer is written.
        asyncio.get_running_loop().call_later(0.05, self._view.quit)
        return _text("OK\n")

    async def _ready(self, query: Mapping[str, str]) -> web.Response:
        state = self._view.state
        return _text(state + "\n", status=200 if state == "LIVE" else 503)

    async def _reopen(self, query: Mapping[str, str]) -> web.Response:
        self._view.reopen_logs()
        return _text("OK\n")

    async def _reset(self, query: Mapping[str, str]) -> web.Response:
        self._view.stats.reset_counters()
        return _text("OK\n")

    async def _server_info(self, query: Mapping[str, str]) -> web.Response:
        view = self._view
        uptime = f"{int(time.time() - view.started_s)}s"
        return _json(
            {
                "version": VERSION,
                "state": view.state,
                "uptime_current_epoch": uptime,
                "uptime_all_epochs": uptime,
                "hot_restart_version": "disabled",
                "command_line_options": dict(view.options),
                "node": view.bootstrap["node"],
            }
        )

    async def _stats(self, query: Mapping[str, str]) -> web.Response:
        if query.get("format") == "prometheus":
            return await self._prometheus(query)
        wanted, used_only = _regex(query, "filter"), "usedonly" in query
        if query.get("format") == "json":
            body = stats_page.stats_json(self._view.stats, wanted, used_only)
            return _answer(body, "application/json")
        return _text(stats_page.stats_text(self._view.stats, wanted, used_only))

    async def _prometheus(self, query: Mapping[str, str]) -> web.Response:
        body = prometheus.render(self._view.stats, _regex(query, "filter"), "usedonly" in query)
        return _answer(body, prometheus.CONTENT_TYPE)


class _BadQuery(Exception):
    pass


def _dispatcher(pages: Mapping[str, tuple[Handler, bool, str]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def dispatch(request: web.Request) -> web.Response:
        path = request.path.rstrip("/") or "/help"
        page = pages.get(path)
        if page is None:
            return _text("invalid path. " + _help_text(pages), status=404)
        handler, needs_post, _ = page
        if needs_post and request.method != "POST":
            return _text(f"Method {request.method} not allowed, POST required.", status=405)
        # Not request.query: a bare ?usedonly counts, and + in a regular expression is not a space.
        query = dict(parse_qsl(request.rel_url.raw_query_string.replace("+", "%2B"), keep_blank_values=True))
        try:
            return await handler(query)
        except _BadQuery as error:
            return _text(f"{error}\n", status=400)

    return dispatch


def _help_text(pages: Mapping[str, tuple[Handler, bool, str]]) -> str:
    lines = ["admin commands are:"]
    lines += [f"  {path}{' (POST)' if post else ''}: {text}" for path, (_, post, text) in sorted(pages.items())]
    return "\n".join(lines) + "\n"


def _regex(query: Mapping[str, str], name: str) -> re.Pattern[str] | None:
    text = query.get(name)
    if not text:
        return None
    if len(text) > _MAX_FILTER_CHARS:
        raise _BadQuery(f"{name} is longer than {_MAX_FILTER_CHARS} characters")
    try:
        return re.compile(text)
    except re.error as error:
        raise _BadQuery(f"Invalid regex in {name}: {error}") from error


def _text(body: str, status: int = 200) -> web.Response:
    return _answer(body, "text/plain; charset=UTF-8", status)


def _json(data: Mapping[str, Any]) -> web.Response:
    return _answer(json.dumps(data, indent=1), "application/json")


def _answer(body: str, content_type: str, status: int = 200) -> web.Response:
    headers = {"content-type": content_type, **_HEADERS}
    return web.Response(body=body.encode("utf-8", "replace"), status=status, headers=headers)


def resident_bytes() -> int:
    """This process's resident set (Linux)."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * 4096
