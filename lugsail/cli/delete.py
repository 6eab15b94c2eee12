"""`lugsail delete`: deletes resources, and waits until the proxies are without them."""

from __future__ import annotations

from typing import Annotated

import typer

from lugsail.cli import distribution
from lugsail.cli.connect import ControlPlaneOption, NamespaceOption, ProjectOption, connect
from lugsail.cli.kinds import kinds_of
from lugsail.cli.manifests import in_safe_order, read_manifests
from lugsail.cli.output import FAILURE, USAGE, CliError, error

EXAMPLES = """\b
Examples:
  lugsail delete -f samples/bookinfo/virtual-service-all-v1.yaml
  lugsail delete virtualservice reviews ratings
  lugsail delete destinationrules --all"""


def delete(
    kind: Annotated[str | None, typer.Argument(help="A kind, such as virtualservice or vs.")] = None,
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="The resources' names.")] = None,
    filename: Annotated[
        list[str] | None,
        typer.Option("--filename", "-f", metavar="FILE|DIR|-", help="Delete what these describe; may be repeated."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of the kind in the namespace.")] = False,
    ignore_not_found: Annotated[
        bool, typer.Option("--ignore-not-found", help="What is not there is no error.")
    ] = False,
    namespace: NamespaceOption = "default",
    wait: distribution.WaitOption = True,
    timeout: distribution.TimeoutOption = "10s",
    control_plane: ControlPlaneOption = None,
    project: ProjectOption = None,
) -> int:
    """Delete resources by kind and name, or those that files describe."""
    timeout_s = distribution.parse_timeout(timeout)
    if bool(filename) == bool(kind) or (kind and bool(names) == everything):
        raise CliError("Say what to delete: either -f FILE, or KIND NAME…, or KIND --all.", USAGE)
    targets: list[tuple[str, str, str, str, str]] = []  # group, plural, singular, namespace, name
    if filename:
        reading = read_manifests(filename, namespace)
        for text in reading.errors:
            error(text)
        if reading.errors:
            raise CliError("Nothing was deleted.")
        targets.extend(
            (each.kind.group, each.kind.plural, each.kind.singular, each.namespace, each.name)
            for each in reversed(in_safe_order(reading.manifests))
        )
    client = connect(control_plane, project, timeout_s)
    if kind:
        for which in kinds_of(kind):
            chosen = names or []
            if everything:
                items = client.list(which.group, which.plural, namespace).get("items", ())
                chosen = [item["metadata"]["name"] for item in items]
            targets.extend((which.group, which.plural, which.singular, namespace, name) for name in chosen)
    revisions = []
    missing = False
    for group, plural, singular, where, name in targets:
        revision = client.delete(group, plural, where, name)
        if revision is None:
            if not ignore_not_found:
                missing = True
                error(f"{singular}.{group}/{name} is not there (namespace {where})")
            continue
        revisions.append(revision)
        print(f"{singular}.{group}/{name} deleted", flush=True)
    code = distribution.report(client, revisions, timeout_s)[0] if wait and revisions else 0
    return FAILURE if missing else code
