"""`lugsail proxy-config`: what a proxy runs on, from its own config dump."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any

import typer

from lugsail.cli import config_dump as dump
from lugsail.cli.config_dump import ClusterName, ConfigDump
from lugsail.cli.connect import OutputOption, ProjectOption, running_mesh
from lugsail.cli.output import USAGE, CliError, as_json, check_format, table, warn

EXAMPLES = """\b
Examples:
  lugsail proxy-config listeners productpage-v1
  lugsail pc routes productpage-v1 --name 15080 -o json
  lugsail pc clusters reviews-v1 --fqdn ratings.default.svc.cluster.local --direction outbound
  lugsail pc endpoints productpage-v1 --subset v2
  lugsail pc bootstrap istio-ingressgateway"""

app = typer.Typer(
    help="Show what a proxy runs on, as the proxy itself tells it: the same for the Python proxy and for Envoy.",
    epilog=EXAMPLES,
    no_args_is_help=True,
    rich_markup_mode=None,
)

Workload = Annotated[str, typer.Argument(help="The proxy, by WORKLOAD or WORKLOAD.NAMESPACE.")]
Port = Annotated[int | None, typer.Option("--port", help="Only of this port.")]
Name = Annotated[str | None, typer.Option("--name", help="Only of this name.")]
Fqdn = Annotated[str | None, typer.Option("--fqdn", help="Only of this service, by its full name or a part of it.")]
Direction = Annotated[str | None, typer.Option("--direction", help="inbound or outbound.")]
Subset = Annotated[str | None, typer.Option("--subset", help="Only of this subset.")]
Address = Annotated[str | None, typer.Option("--address", help="Only of this IP address.")]

LISTENER_HEADER = ["ADDRESS", "PORT", "MATCH", "DESTINATION"]
ROUTE_HEADER = ["NAME", "VHOST", "DOMAINS", "MATCH", "DESTINATION", "VIRTUAL SERVICE"]
CLUSTER_HEADER = ["SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE", "DESTINATION RULE"]
ENDPOINT_HEADER = ["ENDPOINT", "STATUS", "WEIGHT", "CLUSTER"]

Rows = list[tuple[Any, ...]]


@app.command("listeners", epilog="\b\nExample:\n  lugsail pc listeners productpage-v1 --port 15080")
@app.command("listener", hidden=True)
@app.command("l", hidden=True)
def listeners(
    workload: Workload,
    port: Port = None,
    address: Address = None,
    output: OutputOption = None,
    project: ProjectOption = None,
) -> None:
    """Listeners: addresses, filter chains and where they lead."""
    chosen = []
    for listener in _dump(workload, project).listeners():
        ip, number = dump.listener_address(listener)
        if port in (None, number) and address in (None, ip):
            chosen.append(listener)
    _none_fits("listener", chosen, port, address)
    _show(output, chosen, LISTENER_HEADER, lambda: [row for each in chosen for row in dump.listener_rows(each)])


@app.command("routes", epilog="\b\nExample:\n  lugsail pc routes productpage-v1 --name 15080")
@app.command("route", hidden=True)
@app.command("r", hidden=True)
def routes(workload: Workload, name: Name = None, output: OutputOption = None, project: ProjectOption = None) -> None:
    """Routes: virtual hosts, matches, destinations, and the VirtualService each came from."""
    found = _dump(workload, project).routes()
    chosen = [config for config in found if name in (None, config.get("name"))]
    known = ", ".join(sorted({str(config["name"]) for config in found if config.get("name")}))
    _none_fits("route configuration", chosen, name, hint=f"; there are {known}" if known else "")
    _show(output, chosen, ROUTE_HEADER, lambda: [row for each in chosen for row in dump.route_rows(each)])


@app.command("clusters", epilog="\b\nExample:\n  lugsail pc clusters productpage-v1 --direction outbound --port 9080")
@app.command("cluster", hidden=True)
@app.command("c", hidden=True)
def clusters(
    workload: Workload,
    fqdn: Fqdn = None,
    port: Port = None,
    direction: Direction = None,
    subset: Subset = None,
    output: OutputOption = None,
    project: ProjectOption = None,
) -> None:
    """Clusters: the services that the proxy knows."""
    wanted = _cluster_filter(fqdn, port, direction, subset)
    chosen = [cluster for cluster in _dump(workload, project).clusters() if wanted(str(cluster.get("name", "")))]
    _none_fits("cluster", chosen, fqdn, port, direction, subset)
    _show(output, chosen, CLUSTER_HEADER, lambda: [dump.cluster_row(cluster) for cluster in chosen])


@app.command("endpoints", epilog="\b\nExample:\n  lugsail pc endpoints productpage-v1 --fqdn reviews --subset v2")
@app.command("endpoint", hidden=True)
@app.command("e", hidden=True)
def endpoints(
    workload: Workload,
    fqdn: Fqdn = None,
    port: Port = None,
    direction: Direction = None,
    subset: Subset = None,
    output: OutputOption = None,
    project: ProjectOption = None,
) -> None:
    """Endpoints: the addresses behind each cluster."""
    wanted = _cluster_filter(fqdn, port, direction, subset)
    chosen = [each for each in dump.assignments(_dump(workload, project)) if wanted(str(each.get("cluster_name", "")))]
    _none_fits("cluster with endpoints", chosen, fqdn, port, direction, subset)

    def rows() -> Rows:
        every = (row for each in chosen for row in dump.endpoint_rows(each))
        return [(address, health, weight, cluster) for address, health, cluster, weight in every]

    _show(output, chosen, ENDPOINT_HEADER, rows)


@app.command("bootstrap", epilog="\b\nExample:\n  lugsail pc bootstrap productpage-v1")
@app.command("b", hidden=True)
def bootstrap(workload: Workload, output: OutputOption = None, project: ProjectOption = None) -> None:
    """The bootstrap that the agent wrote (JSON)."""
    check_format(output, ["json"])
    print(as_json(_dump(workload, project).bootstrap()))


@app.command("all", epilog="\b\nExample:\n  lugsail pc all productpage-v1 -o json")
def everything(workload: Workload, output: OutputOption = None, project: ProjectOption = None) -> None:
    """Everything: the whole dump with -o json, else its tables."""
    check_format(output, ["json"])
    raw = _fetch(workload, project)
    if output == "json":
        print(as_json(raw))
        return
    found = ConfigDump(raw)
    assignments = dump.assignments(found)
    parts: list[tuple[list[str], Rows]] = [
        (CLUSTER_HEADER, [dump.cluster_row(each) for each in found.clusters()]),
        (LISTENER_HEADER, [row for each in found.listeners() for row in dump.listener_rows(each)]),
        (ROUTE_HEADER, [row for each in found.routes() for row in dump.route_rows(each)]),
        (ENDPOINT_HEADER, [(a, h, w, c) for each in assignments for a, h, c, w in dump.endpoint_rows(each)]),
    ]
    print("\n\n".join(table(header, rows) for header, rows in parts))


def _none_fits(what: str, chosen: list[dict[str, Any]], *filters: object, hint: str = "") -> None:
    """A filter that leaves nothing is most likely a slip: say so, beside the empty answer."""
    if not chosen and any(each is not None for each in filters):
        warn(f"No {what} fits{hint}. Without filters all are shown.")


def _show(output: str | None, resources: list[dict[str, Any]], header: list[str], rows: Callable[[], Rows]) -> None:
    check_format(output, ["json"])
    print(as_json(resources) if output == "json" else table(header, rows()))


def _cluster_filter(
    fqdn: str | None, port: int | None, direction: str | None, subset: str | None
) -> Callable[[str], bool]:
    """By the parts of Istio's cluster names; a service may be given by the first labels of its name."""
    if direction not in (None, "inbound", "outbound"):
        raise CliError(f"--direction {direction}: choose inbound or outbound.", USAGE)

    def wanted(name: str) -> bool:
        parts = ClusterName.parse(name)
        return (
            (fqdn is None or parts.fqdn == fqdn or parts.fqdn.startswith(f"{fqdn}."))
            and (port is None or parts.port == str(port))
            and (direction is None or parts.direction == direction)
            and (subset is None or parts.subset == subset)
        )

    return wanted


def _dump(workload: str, project: str | None) -> ConfigDump:
    return ConfigDump(_fetch(workload, project))


def _fetch(workload: str, project: str | None) -> dict[str, Any]:
    """GET /config_dump with the endpoints from the proxy's admin page; raises CliError and LabError."""
    status, body = running_mesh(project).admin(workload, "/config_dump?include_eds")
    if status != 200:
        raise CliError(f"The proxy of {workload} answered {status} for /config_dump.")
    found: dict[str, Any] = json.loads(body)
    return found
