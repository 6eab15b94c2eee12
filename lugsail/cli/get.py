"""`lugsail get`: shows resources as tables, YAML, JSON or names, and follows their changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lugsail.cli.connect import ControlPlaneOption, NamespaceOption, ProjectOption, connect
from lugsail.cli.kinds import kinds_of
from lugsail.cli.output import USAGE, CliError, as_json, as_yaml, check_format, duration, error, table, warn

if TYPE_CHECKING:
    from lugsail.api.kinds import Kind

EXAMPLES = """\b
Examples:
  lugsail get virtualservices
  lugsail get vs reviews -o yaml
  lugsail get vs,dr -A -o wide
  lugsail get all -o name
  lugsail get vs -w"""

FORMATS = ("yaml", "json", "wide", "name")

Resource = dict[str, Any]
Column = tuple[str, Callable[[Resource], str]]


def get(
    kind: Annotated[str, typer.Argument(help="A kind (virtualservice, vs), several (vs,dr), or all.")],
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="The resources' names.")] = None,
    namespace: NamespaceOption = "default",
    all_namespaces: Annotated[bool, typer.Option("--all-namespaces", "-A", help="Of every namespace.")] = False,
    output: Annotated[str | None, typer.Option("--output", "-o", help="yaml, json, wide or name.")] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Then show each change as it happens.")] = False,
    control_plane: ControlPlaneOption = None,
    project: ProjectOption = None,
) -> int:
    """Show resources of the control plane."""
    check_format(output, FORMATS)
    kinds = kinds_of(kind)
    if watch and len(kinds) > 1:
        raise CliError("-w follows one kind at a time.", USAGE)
    if names and all_namespaces:
        raise CliError("A resource is found by name in one namespace: use -n, not -A.", USAGE)
    client = connect(control_plane, project)
    scope = None if all_namespaces else namespace
    lists: list[tuple[Kind, list[Resource], str]] = []
    missing = 0
    for which in kinds:
        if names:
            found = [client.get(which.group, which.plural, namespace, name) for name in names]
            for name, item in zip(names, found, strict=True):
                if item is None:
                    missing += 1
                    error(f"{which.singular}.{which.group}/{name} is not there (namespace {namespace})")
            lists.append((which, [item for item in found if item is not None], ""))
        else:
            answer = client.list(which.group, which.plural, scope)
            version = str(answer.get("metadata", {}).get("resourceVersion", ""))
            items = sorted(
                answer.get("items", ()), key=lambda item: (item["metadata"]["namespace"], item["metadata"]["name"])
            )
            lists.append((which, items, version))
    _print_lists(lists, output, all_namespaces, single=len(names or ()) == 1 and len(kinds) == 1)
    if not names and output in (None, "wide", "name") and not any(items for _, items, _ in lists) and not watch:
        where = "" if scope is None else f" in the namespace {scope}"
        warn(f"There is no {kinds[0].singular}{where}." if len(kinds) == 1 else f"There is nothing{where}.")
    if watch:
        which, items, version = lists[0]
        wanted = set(names or ())
        for event in client.watch(which.group, which.plural, scope, version):
            item = event.get("object", {})
            if wanted and item.get("metadata", {}).get("name") not in wanted:
                continue
            _print_event(which, event, output, all_namespaces)
        raise CliError("The control plane closed the watch.")
    return 1 if missing else 0


def _print_lists(
    lists: Sequence[tuple[Kind, list[Resource], str]], output: str | None, everywhere: bool, single: bool
) -> None:
    if output in ("json", "yaml"):
        render = as_json if output == "json" else as_yaml
        if single:
            for item in lists[0][1]:
                print(render(item), flush=True)
            return
        items = [item for _, found, _ in lists for item in found]
        version = lists[0][2] if len(lists) == 1 else ""
        print(
            render({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": version}, "items": items}),
            flush=True,
        )
        return
    first = True
    for kind, items, _ in lists:
        if not items:
            continue
        if output == "name":
            for item in items:
                print(f"{kind.singular}.{kind.group}/{item['metadata']['name']}")
            continue
        columns = columns_of(kind.kind, output == "wide", everywhere)
        if not first:
            print()
        first = False
        if len(lists) > 1:
            print(f"{kind.plural}.{kind.group}")
        print(
            table([name for name, _ in columns], ([value(item) for _, value in columns] for item in items)), flush=True
        )


def _print_event(kind: Kind, event: Resource, output: str | None, everywhere: bool) -> None:
    item = event.get("object", {})
    change = str(event.get("type", "")).lower()
    if output == "json":
        print(as_json(item), flush=True)
    elif output == "yaml":
        print(f"---\n{as_yaml(item)}", flush=True)
    elif output == "name":
        print(f"{kind.singular}.{kind.group}/{item['metadata']['name']} {change}", flush=True)
    else:
        cells = [value(item) for _, value in columns_of(kind.kind, output == "wide", everywhere)]
        print("   ".join([*cells, change]), flush=True)


def columns_of(kind: str, wide: bool, everywhere: bool) -> list[Column]:
    """The table's columns for a kind."""
    columns: list[Column] = [("NAMESPACE", lambda item: str(item["metadata"]["namespace"]))] if everywhere else []
    columns.append(("NAME", lambda item: str(item["metadata"]["name"])))
    columns += _SPEC_COLUMNS.get(kind, [])
    if wide:
        columns += _WIDE_COLUMNS.get(kind, [])
    columns.append(("AGE", _age))
    return columns


def _field(*path: str) -> Callable[[Resource], str]:
    """The value at spec.PATH; lists as `[a, b]`, maps as `k=v`."""

    def value(item: Resource) -> str:
        found: Any = item.get("spec", {})
        for part in path:
            found = found.get(part) if isinstance(found, dict) else None
        return _shown(found)

    return value


def _names(field: str) -> Callable[[Resource], str]:
    def value(item: Resource) -> str:
        return _shown([str(each.get("name", "")) for each in item.get("spec", {}).get(field, ())])

    return value


def _ports(item: Resource) -> str:
    spec = item.get("spec", {})
    ports = [server.get("port", {}) for server in spec.get("servers", ())] or spec.get("ports", ())
    return _shown([f"{port.get('number')}/{port.get('protocol', 'TCP')}" for port in ports])


def _rules(item: Resource) -> str:
    spec = item.get("spec", {})
    return _shown([f"{len(spec[kind])} {kind}" for kind in ("http", "tls", "tcp") if spec.get(kind)])


def _shown(value: Any) -> str:
    if value is None or value == [] or value == {}:
        return ""
    if isinstance(value, list):
        return f"[{', '.join(str(each) for each in value)}]"
    if isinstance(value, dict):
        return ",".join(f"{key}={each}" for key, each in value.items())
    return str(value)


def _age(item: Resource) -> str:
    text = item["metadata"].get("creationTimestamp")
    if not text:
        return ""
    try:
        created = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return str(text)
    return duration((datetime.now(UTC) - created).total_seconds())


_SPEC_COLUMNS: dict[str, list[Column]] = {
    "VirtualService": [("GATEWAYS", _field("gateways")), ("HOSTS", _field("hosts"))],
    "DestinationRule": [("HOST", _field("host"))],
    "ServiceEntry": [
        ("HOSTS", _field("hosts")),
        ("LOCATION", _field("location")),
        ("RESOLUTION", _field("resolution")),
    ],
    "WorkloadEntry": [("ADDRESS", _field("address"))],
    "Gateway": [("SELECTOR", _field("selector"))],
    "Sidecar": [("WORKLOADS", _field("workloadSelector", "labels"))],
    "EnvoyFilter": [("WORKLOADS", _field("workloadSelector", "labels"))],
}
_WIDE_COLUMNS: dict[str, list[Column]] = {
    "VirtualService": [("RULES", _rules)],
    "DestinationRule": [("SUBSETS", _names("subsets"))],
    "ServiceEntry": [("PORTS", _ports)],
    "WorkloadEntry": [("SERVICE ACCOUNT", _field("serviceAccount")), ("LABELS", _field("labels"))],
    "Gateway": [("PORTS", _ports)],
}
