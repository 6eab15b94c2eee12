"""`lugsail render`: the command around lugsail.cli.render, which is heavy to import and is only when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from lugsail.cli.apply import FileOption
from lugsail.cli.manifests import read_sources
from lugsail.cli.output import DATA, USAGE, CliError, as_json, check_format, error, warn

EXAMPLES = """\b
Examples:
  lugsail render -f registry.yaml -f rules/ --proxy productpage-v1.default -o json
  lugsail render -f mesh.yaml --proxy istio-ingressgateway.istio-system --type router"""


def render(
    filename: FileOption,
    proxy: Annotated[str, typer.Option("--proxy", metavar="NAME.NAMESPACE", help="Whose configuration.")],
    kind: Annotated[str, typer.Option("--type", help="sidecar or router (a gateway).")] = "sidecar",
    interception: Annotated[
        str, typer.Option("--interception", help="REDIRECT (traffic is captured) or NONE (it is sent to the proxy).")
    ] = "REDIRECT",
    output: Annotated[str, typer.Option("--output", "-o", help="json.")] = "json",
) -> int:
    """Print the xDS that the control plane would send to one proxy, offline.

    The files hold resources and the registry (ServiceEntry and WorkloadEntry); the proxy is a WorkloadEntry of them.
    The answer is {Listener|RouteConfiguration|Cluster|ClusterLoadAssignment: {name: resource}}.
    """
    check_format(output, ["json"])
    if kind not in ("sidecar", "router"):
        raise CliError(f"--type {kind}: choose sidecar or router.", USAGE)
    if interception not in ("REDIRECT", "NONE"):
        raise CliError(f"--interception {interception}: choose REDIRECT or NONE.", USAGE)
    texts = read_sources(filename)

    from lugsail.api.errors import DocumentError
    from lugsail.cli import render as rendering

    try:
        found = rendering.render(texts, proxy, kind, interception)
    except (rendering.InvalidTexts, DocumentError) as problem:
        error(str(problem))
        raise CliError("Nothing was rendered.", DATA) from problem
    except rendering.UnknownProxy as problem:
        raise CliError(str(problem), DATA) from problem
    for message in found.messages:
        warn(f"warning: {message}")
    print(as_json(found.resources))
    return 0
