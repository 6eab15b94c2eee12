"""Injects the text of a compose file: as `inject`, with the comments of the file kept and those of the mesh added."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from controlplane.injector.compose import BadCompose, Choices, inject

TEXT_LIMIT = 4 << 20
LINE_WIDTH = 116
SHORT = 90
_SERVICE = re.compile(r"  ([^\s#'\"-][^\s:]*):(\s|$)")
_HEAD = """# Made from {source} by `lugsail inject`; change that file and make this one anew.
#
# Each service S there is a pod of four containers here, that share one network namespace:
#   S-pod     owns it: the names, the published ports and the labels of the workload
#   S-init    writes the rules that capture its traffic, and exits
#   S-proxy   the sidecar, as user 1337, whose own traffic the rules leave alone
#   S         the app, unaware
# Either of the last two can restart alone. Below them: the control plane, the gateways, and what watches the mesh.
#
# LUGSAIL_PROXY=envoy docker compose up      runs the same mesh on the stock Envoy
"""


@dataclass(frozen=True)
class InjectedText:
    """The meshed file, and what `inject` had to say. Where nothing changed the text is the one that came in."""

    text: str
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    pods: int


def inject_text(text: str, source: str, choices: Choices | None = None) -> InjectedText:
    """The compose file `text` with the mesh around it. Raises BadCompose and BadAnnotation."""
    if len(text) > TEXT_LIMIT:
        raise BadCompose(f"{source}: {len(text)} characters; a compose file of at most {TEXT_LIMIT} is read.")
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadCompose(f"{source} is not YAML: {error}") from error
    done = inject(document, source, choices)
    if not done.pods:
        return InjectedText(text, done.notes, done.warnings, 0)
    written = comments_of(text)
    parts = [_HEAD.format(source=source.rsplit("/", 1)[-1])]
    for key, value in done.document.items():
        if key == "services":
            parts.append("\nservices:\n" + "\n".join(_services(value, done.comments, written)))
        else:
            parts.append("\n" + _dump({key: value}))
    return InjectedText("".join(parts), done.notes, done.warnings, done.pods)


def comments_of(text: str) -> dict[str, list[str]]:
    """Service → the comment lines right above its name, where services are indented by two blanks, as is usual."""
    found: dict[str, list[str]] = {}
    pending: list[str] = []
    inside = False
    for line in text.splitlines():
        if line and not line.startswith((" ", "#")):
            inside = line.startswith("services:")
        if line.startswith("  #"):
            pending.append(line.strip())
            continue
        match = _SERVICE.match(line)
        if inside and match and pending:
            found[match.group(1)] = pending
        pending = []
    return found


def _services(services: Mapping[str, Any], comments: Mapping[str, str], written: Mapping[str, list[str]]) -> list[str]:
    """Each service as text, the file's own comments above the first container of its pod."""
    parts = []
    for name, service in services.items():
        owner = name.removesuffix("-pod") if name.endswith("-pod") and name in comments else name
        lines = list(written.get(owner, ())) if owner != name or f"{name}-pod" not in comments else []
        if comments.get(name):
            lines.append(f"# {comments[name]}")
        body = "".join(f"  {line}\n" if line else "\n" for line in _dump({name: service}).splitlines())
        parts.append("".join(f"  {line}\n" for line in lines) + body)
    return parts


class _Block(dict[str, Any]):
    """A mapping that gets a line for each key, however short it is."""


class _Dumper(yaml.SafeDumper):
    """As compose files are written by hand: short mappings and lists of scalars on one line, no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _sequence(dumper: yaml.SafeDumper, items: list[Any]) -> yaml.Node:
    flat = all(isinstance(item, str | int | float | bool) for item in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=flat)


def _mapping(dumper: yaml.SafeDumper, value: dict[str, Any]) -> yaml.Node:
    short = len(yaml.safe_dump(value, default_flow_style=True, width=10_000)) <= SHORT
    return dumper.represent_mapping("tag:yaml.org,2002:map", value.items(), flow_style=short)


def _block(dumper: yaml.SafeDumper, value: _Block) -> yaml.Node:
    return dumper.represent_mapping("tag:yaml.org,2002:map", value.items(), flow_style=False)


_Dumper.add_representer(list, _sequence)
_Dumper.add_representer(dict, _mapping)
_Dumper.add_representer(_Block, _block)


def _dump(value: Mapping[str, Any]) -> str:
    """One key with its mapping, a line or more for each key of that."""
    blocks = _Block({key: _Block(inner) if isinstance(inner, dict) else inner for key, inner in value.items()})
    return yaml.dump(blocks, Dumper=_Dumper, sort_keys=False, width=LINE_WIDTH, allow_unicode=True)
