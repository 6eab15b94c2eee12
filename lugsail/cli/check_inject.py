"""`lugsail check-inject`: which workloads have, or would get, a sidecar, which not, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from lugsail.cli.connect import OutputOption
from lugsail.cli.manifests import read_sources
from lugsail.cli.output import DATA, FAILURE, USAGE, CliError, as_json, check_format, table

EXAMPLES = """\b
Examples:
  lugsail check-inject compose/app.yaml         what `lugsail inject` would do with each service
  lugsail check-inject deployment.yaml          and kube-inject with each workload
  lugsail check-inject shop-reviews-v1-1        a running container
  lugsail check-inject --runtime docker         all containers that the mesh has to do with"""


@dataclass(frozen=True)
class Row:
    """One workload. `injected`: it has a sidecar, or (in a file) it would get one."""

    workload: str
    injected: bool
    reason: str


def check_inject(
    targets: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE|CONTAINER]...", help="Files, - or names of containers.")
    ] = None,
    runtime: Annotated[str | None, typer.Option("--runtime", help="docker: the containers that run now.")] = None,
    output: OutputOption = None,
) -> int:
    """Say of each workload whether it has a sidecar, or would get one, and why. Exits with 1 where one has none.

    Files are compose files or Kubernetes manifests.
    """
    check_format(output, ["json"])
    if runtime not in (None, "docker"):
        raise CliError(f"--runtime {runtime}: there is docker alone; processes always have their sidecars.", USAGE)
    if not targets and runtime is None:
        raise CliError("Name files or containers, or say --runtime docker.", USAGE)
    files = [target for target in targets or [] if target == "-" or Path(target).exists()]
    containers = [target for target in targets or [] if target not in files]
    rows = list(_of_files(files))
    if containers or runtime is not None:
        rows += _of_containers(containers)
    if not rows:
        raise CliError("There is no workload to check.", DATA)
    if output == "json":
        print(as_json([asdict(row) for row in rows]))
    else:
        cells = [(row.workload, "yes" if row.injected else "no", row.reason) for row in rows]
        print(table(("WORKLOAD", "INJECTED", "REASON"), cells))
    return 0 if all(row.injected for row in rows) else FAILURE


def _of_files(files: list[str]) -> Iterator[Row]:
    from controlplane.injector.annotations import BadAnnotation
    from controlplane.injector.compose import BadCompose
    from controlplane.injector.kube_fields import BadWorkload
    from controlplane.injector.kube_text import split_documents
    from lugsail.api.errors import DocumentError

    for name, text in read_sources(files) if files else []:
        try:
            for piece in split_documents(text, name):
                is_compose = isinstance(piece.data, dict) and "services" in piece.data and "kind" not in piece.data
                yield from _of_compose(piece.data, name) if is_compose else _of_manifest(piece)
        except (BadAnnotation, BadCompose, BadWorkload, DocumentError) as error:
            raise CliError(str(error), DATA) from error


def _of_compose(document: dict[str, Any], source: str) -> Iterator[Row]:
    from controlplane.injector.compose import inject
    from controlplane.injector.compose_values import string_map

    done = inject(document, source)
    notes = [note.partition(": ") for note in done.notes]
    reasons = {head.removeprefix("services."): text for head, _, text in notes}
    for name, service in document["services"].items():
        role = string_map((service or {}).get("labels"), f"{source}: services.{name}.labels").get("lugsail.io/role")
        where = f"{source}: {name}"
        if role == "app":
            yield Row(where, True, "it has its sidecar in this file")
        elif role is None and f"{name}-pod" in done.comments:
            yield Row(where, True, "every service of the file gets one unless it says otherwise")
        elif role is None:
            host = str((service or {}).get("network_mode", "")).removeprefix("service:")
            shared = f"{host}-pod" in done.comments
            yield Row(where, shared, f"it shares the pod of {host}" if shared else reasons.get(name, "left as it is"))


def _of_manifest(piece: Any) -> Iterator[Row]:
    from controlplane.injector.kube import KubeOptions, inject_documents

    _, outcomes = inject_documents([piece], KubeOptions())
    for each in outcomes:
        reason = each.reason or "every workload gets one unless it says otherwise"
        yield Row(f"{each.kind} {each.namespace}/{each.name}", each.injected or each.already, reason)


def _of_containers(names: list[str]) -> Iterable[Row]:
    """Rows of the named containers, else of all that have to do with the mesh."""
    from controlplane.injector.engine import DockerException, Engine
    from controlplane.injector.running import describe
    from lugsail.lab.containers.engine import connect, failure

    client = connect()
    try:
        world = Engine(client).world()
    except DockerException as error:
        raise CliError(str(failure(error))) from error
    finally:
        client.close()
    found = [Row(*each) for each in describe(world, names)]
    unknown = sorted(set(names) - {seen.container.name for seen in world.containers})
    if unknown:
        raise CliError(f"There is no file and no container {', '.join(unknown)}; `docker ps` lists containers.", USAGE)
    return found
