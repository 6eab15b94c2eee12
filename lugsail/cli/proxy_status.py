"""`lugsail proxy-status`: which configuration each connected proxy has acknowledged."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from lugsail.cli.connect import ControlPlaneOption, OutputOption, ProjectOption, connect
from lugsail.cli.distribution import print_rejections
from lugsail.cli.output import FAILURE, USAGE, CliError, as_json, check_format, duration, table

EXAMPLES = """\b
Examples:
  lugsail proxy-status
  lugsail ps reviews-v1 -o json"""

COLUMNS = (
    ("CDS", "cluster_status"),
    ("LDS", "listener_status"),
    ("EDS", "endpoint_status"),
    ("RDS", "route_status"),
)


def proxy_status(
    workload: Annotated[str | None, typer.Argument(help="One proxy, by WORKLOAD or WORKLOAD.NAMESPACE.")] = None,
    output: OutputOption = None,
    control_plane: ControlPlaneOption = None,
    project: ProjectOption = None,
) -> int:
    """Show each proxy's sync state per configuration type; exits with 1 when one has rejected something."""
    check_format(output, ["json"])
    proxies: list[dict[str, Any]] = sorted(
        connect(control_plane, project).debug("syncz"), key=lambda proxy: proxy["proxy"]
    )
    if workload is not None:
        known = [proxy["proxy"] for proxy in proxies]
        proxies = [proxy for proxy in proxies if workload in (proxy["proxy"], proxy["proxy"].partition(".")[0])]
        if not proxies:
            raise CliError(f"The proxy {workload} is not connected; connected are {', '.join(known) or 'none'}.", USAGE)
    if output == "json":
        print(as_json(proxies))
    else:
        rows = [
            [proxy["proxy"], proxy.get("type", ""), *(proxy.get(key, "NOT SENT") for _, key in COLUMNS), _since(proxy)]
            for proxy in proxies
        ]
        print(table(["NAME", "TYPE", *(name for name, _ in COLUMNS), "CONNECTED"], rows))
    rejected = [
        (proxy["proxy"], f"{kind}: {text}") for proxy in proxies for kind, text in (proxy.get("errors") or {}).items()
    ]
    if output is None:
        print_rejections(rejected)
    return FAILURE if rejected else 0


def _since(proxy: dict[str, Any]) -> str:
    since = proxy.get("connected_since")
    if isinstance(since, int | float):
        return duration(datetime.now(UTC).timestamp() - since)
    if not since:
        return ""
    try:
        return duration((datetime.now(UTC) - datetime.fromisoformat(str(since).replace("Z", "+00:00"))).total_seconds())
    except (ValueError, TypeError):
        return str(since)
