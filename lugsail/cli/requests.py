"""`lugsail requests`: every request of the mesh, from whom to whom, by which rule, and how it ended."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import typer

from lugsail.cli.connect import ControlPlaneOption, OutputOption, ProjectOption, control_plane_url, running_mesh
from lugsail.cli.output import USAGE, CliError, check_format, counted, has_colour, warn
from lugsail.client import ApiError, Client, Unreachable
from lugsail.lab.errors import LabError
from lugsail.lab.proxy_logs import BACK_LINES, ProxyLogs
from lugsail.lab.running import RunningMesh
from lugsail.requests import peers as directory
from lugsail.requests import row as rows
from lugsail.requests.formats import Reader, reader_of
from lugsail.requests.joiner import SETTLE_S, Hop, Joiner
from lugsail.requests.peers import Peers
from lugsail.requests.routes import RouteHistory, RouteTable
from lugsail.requests.row import CLIENT, SERVER, Row
from lugsail.requests.select import BadFilter, Wanted, duration_s
from lugsail.requests.show import Table, as_json

EXAMPLES = """\b
Examples:
  lugsail requests                                the last requests of the whole mesh
  lugsail requests -f --code 5xx                  failures as they happen, with flags in words
  lugsail requests --to reviews --since 1m        who called reviews, and which rule sent it to which version
  lugsail requests --request-id ID --both         one request through all proxies, client's and server's side
  lugsail requests -f -o json | jq .rule"""

POLL_S = 0.1
CHECK_EVERY_S = 0.5
ANSWER_S = 3.0
PARALLEL = 4
LAST = 50


def requests(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new requests until Ctrl-C.")] = False,
    workload: Annotated[str, typer.Option(metavar="NAME", help="From or to it: a workload, an app, `gateway`.")] = "",
    source: Annotated[str, typer.Option("--from", metavar="NAME", help="Only from this workload or app.")] = "",
    destination: Annotated[str, typer.Option("--to", metavar="NAME", help="Only to this workload or app.")] = "",
    code: Annotated[str, typer.Option(metavar="CODE", help="Only this status: 503, or a class as 5xx.")] = "",
    flag: Annotated[str, typer.Option(metavar="FLAG", help="Only with this response flag, such as UF.")] = "",
    request_id: Annotated[str, typer.Option(metavar="ID", help="Only of this x-request-id.")] = "",
    path: Annotated[str, typer.Option(metavar="PATH", help="Only paths that begin so.")] = "",
    tail: Annotated[
        int | None, typer.Option(min=0, help="The last so many; default 50, with --follow or --since: see there.")
    ] = None,
    since: Annotated[str, typer.Option(metavar="DURATION", help="Of the last 30s, 5m, 1h; all of them.")] = "",
    both: Annotated[bool, typer.Option("--both", help="Each side's line, not one for each hop.")] = False,
    output: OutputOption = None,
    project: ProjectOption = None,
    control_plane: ControlPlaneOption = None,
) -> int:
    """Show requests over the whole mesh, from the access logs of all proxies: one line a hop.

    FROM and TO are workloads; RULE is the VirtualService's rule that routed it, by its index, as told from the routes
    that the proxy ran on then; WHY says response flags in words. Proxies write once a second: -f is two seconds behind.

    With --follow what was before is shown only where --tail or --since ask for it.
    """
    check_format(output, ["json"])
    try:
        began = time.time() - duration_s(since) if since else 0.0
        wanted = Wanted(workload, source, destination, code, flag, request_id, path, began)
    except BadFilter as problem:
        raise CliError(str(problem), USAGE) from problem
    mesh = running_mesh(project)
    limit = tail if tail is not None else None if since or follow else LAST
    try:
        url = control_plane_url(control_plane, project)
    except LabError:  # what the logs tell is shown without it
        url = ""
    view = _View(mesh, Client(url, ANSWER_S) if url else None, wanted, both)
    printer = _Printer(output == "json")
    logs = mesh.proxy_logs(_lines_back(limit, wanted) if not follow or tail or since else 0, follow)
    try:
        view.begin(printer)
        earlier = view.read(logs) if follow else view.all(logs)
        printer.begin(earlier if limit is None else earlier[-limit:] if limit else [])
        if follow:
            _follow(view, logs, printer)
    except KeyboardInterrupt:
        printer.rows(view.rest())
    finally:
        logs.close()
    return 0


def _lines_back(limit: int | None, wanted: Wanted) -> int:
    """How many lines of each log hold the last `limit` rows: one and its pair a row, and some that have none yet."""
    return 2 * limit + 200 if limit is not None and wanted.is_everything and not wanted.since else BACK_LINES


def _follow(view: _View, logs: ProxyLogs, printer: _Printer) -> None:
    told = 0
    while True:
        printer.rows(view.read(logs))
        if logs.skipped > told:
            warn(f"Too fast to follow: {counted(logs.skipped - told, 'line')} of the logs were skipped.")
            told = logs.skipped
        time.sleep(POLL_S)


class _View:
    """Lines in, wanted rows out; asks control plane and proxies for what the lines do not tell."""

    def __init__(self, mesh: RunningMesh, client: Client | None, wanted: Wanted, both: bool) -> None:
        self._mesh = mesh
        self._client = client
        self._wanted = wanted
        self._joiner = Joiner(both)
        self._reader = Reader()
        self._peers = Peers()
        self._routes: dict[str, RouteHistory] = {}
        self._revisions: dict[str, Any] = {}
        self._seen: dict[str, Any] = {}
        self._checked = 0.0
        self._workloads_tag: Any = None

    def begin(self, printer: _Printer) -> None:
        """Learn who is who and how logs are written."""
        if self._client is None:
            warn("The control plane does not answer: workloads are told by their proxies alone.")
            return
        try:
            self._reader, notes = reader_of(self._client.debug("mesh"))
        except (ApiError, Unreachable) as problem:
            notes = [f"{problem} Workloads are told by their proxies alone."]
        for note in notes:
            warn(note)
        self._check(time.time())

    def all(self, logs: ProxyLogs) -> list[Row]:
        """What there is; where a server's line came before its client's, that is waited for, but not for ever: under
        load there is always one."""
        found = self.read(logs)
        until = time.monotonic() + SETTLE_S
        while self._joiner.waits_for_clients and time.monotonic() < until:
            time.sleep(POLL_S)
            found += self.read(logs)
        return sorted(found + self.rest(), key=lambda row: row.line.start)

    def read(self, logs: ProxyLogs) -> list[Row]:
        """The rows that are due."""
        now = time.time()
        probe = self._wanted.probe
        for read in logs.poll():
            for raw in read.lines:
                if probe and probe not in raw:
                    continue
                line = self._reader.read(read.proxy, raw)
                if line is not None and line.start >= self._wanted.since:
                    self._joiner.add(line, rows.is_server(line, self._peers), now)
        return self._rows(self._joiner.due(now))

    def rest(self) -> list[Row]:
        """What still waits."""
        return self._rows(self._joiner.flush(time.time()))

    def _rows(self, hops: list[Hop]) -> list[Row]:
        found = [(hop, side, *rows.sides(hop, side, self._peers)) for hop, side in self._wanted_hops(hops)]
        found = [each for each in found if self._wanted.has_sides(each[2], each[3])]
        self._learn_routes({proxy for hop, side, *_ in found for proxy in _asked(hop, side)}, found)
        return [Row(hop, source, to, side, self._rule(hop, side)) for hop, side, source, to in found]

    def _wanted_hops(self, hops: list[Hop]) -> Iterable[tuple[Hop, str]]:
        for hop in hops:
            if self._wanted.has(hop):
                is_server = hop.client is None
                yield hop, SERVER if is_server else CLIENT

    def _rule(self, hop: Hop, side: str) -> Any:
        line = hop.line if side == CLIENT else hop.mirrored_from
        if line is None:
            return None
        return self._routes.setdefault(line.proxy, RouteHistory()).verdict(line)

    def _learn_routes(self, proxies: set[str], found: list[Any]) -> None:
        """Have the routes of these proxies known up to the newest of these requests."""
        newest = max((hop.line.start for hop, *_ in found), default=0.0)
        now = time.time()
        if now - self._checked >= CHECK_EVERY_S or newest > self._checked:
            self._check(now)
        behind = [p for p in proxies if self._routes.setdefault(p, RouteHistory()).known_until < newest]
        if not behind:
            return
        with ThreadPoolExecutor(PARALLEL) as pool:
            for proxy, table in zip(behind, pool.map(self._table, behind), strict=True):
                if table is not None:
                    self._routes[proxy].add(table, now)
                    self._revisions[proxy] = self._seen.get(proxy)

    def _table(self, proxy: str) -> RouteTable | None:
        try:
            status, body = self._mesh.admin(proxy.partition(".")[0], "/config_dump?resource=dynamic_route_configs")
            return RouteTable(json.loads(body).get("configs", [])) if status == 200 else None
        except (LabError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def _check(self, now: float) -> None:
        """Ask who is connected with which revision: a proxy's routes that are in sync and unchanged are confirmed."""
        self._checked = now
        if self._client is None:
            return
        try:
            proxies = self._client.debug("syncz")
            self._peers = self._ask_peers(proxies)
        except (ApiError, Unreachable):
            return
        self._seen = {
            str(each["proxy"]): (each.get("connected_since"), each.get("revision"))
            for each in proxies
            if each.get("route_status") == "SYNCED"
        }
        for proxy, state in self._seen.items():
            if self._revisions.get(proxy) == state:
                self._routes[proxy].confirm(now)

    def _ask_peers(self, proxies: list[Any]) -> Peers:
        assert self._client is not None
        tag = [(each.get("proxy"), each.get("ip"), each.get("revision")) for each in proxies]
        if tag == self._workloads_tag:
            return self._peers
        try:
            found = directory.from_workloads(self._client.workloads(), proxies)
        except ApiError:
            found = directory.from_endpoints(self._client.debug("endpointz"), proxies)
        self._workloads_tag = tag
        return found


def _asked(hop: Hop, side: str) -> list[str]:
    line = hop.line if side == CLIENT else hop.mirrored_from
    return [] if line is None else [line.proxy]


class _Printer:
    """Rows on standard output, as they come."""

    def __init__(self, is_json: bool) -> None:
        self._is_json = is_json
        self._table = Table(has_colour(sys.stdout))

    def begin(self, earlier: list[Row]) -> None:
        if not self._is_json:
            self._table.fit(earlier)
            print(self._table.header(), flush=True)
        self.rows(earlier)

    def rows(self, found: list[Row]) -> None:
        if found:
            print("\n".join(as_json(row) if self._is_json else self._table.row(row) for row in found), flush=True)
