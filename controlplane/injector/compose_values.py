"""Reads what compose files may write in more than one way. Errors name the place and what would be right there."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

Document = dict[str, Any]

NODES_LIMIT = 200_000


class BadCompose(ValueError):
    """A compose file that cannot be injected: the file, the path in it, what is wrong and what would be right."""


def check_size(document: Any, source: str) -> None:
    """YAML's aliases can make a short text a document without end: what is too large is refused, not copied."""
    left, pending = NODES_LIMIT, [document]
    while pending:
        value = pending.pop()
        left -= 1
        if left < 0:
            raise BadCompose(f"{source}: more than {NODES_LIMIT} values, aliases included; split the file.")
        if isinstance(value, dict):
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)


def mapping(value: Any, where: str) -> Document:
    """A mapping; nothing written is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadCompose(f"{where}: expected a mapping, found {type(value).__name__}.")
    return value


def scalar(value: Any, where: str) -> str:
    """A value as the text that Docker gets: labels and variables are texts there."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise BadCompose(f"{where}: expected a text, found {type(value).__name__}; quote it if it is one.")


def string_map(value: Any, where: str) -> dict[str, str]:
    """A mapping, or a list of KEY=VALUE."""
    if isinstance(value, list):
        texts = [scalar(item, f"{where}[{number}]") for number, item in enumerate(value)]
        return {key: text for key, _, text in (item.partition("=") for item in texts)}
    if value is None or isinstance(value, dict):
        return {str(key): scalar(item, f"{where}.{key}") for key, item in (value or {}).items()}
    raise BadCompose(f"{where}: expected a mapping or a list of KEY=VALUE, found {type(value).__name__}.")


def networks_of(value: Any, alias: str, where: str) -> Document:
    """The networks of a service as a mapping, in each of them `alias` too: its name moves to another container."""
    if value is None:
        value = ["default"]
    if isinstance(value, list):
        value = {scalar(name, where): None for name in value}
    networks = mapping(value, where)
    found = {}
    for name, settings in networks.items():
        settings = mapping(settings, f"{where}.{name}")
        aliases = settings.get("aliases") or []
        if not isinstance(aliases, list):
            raise BadCompose(f"{where}.{name}.aliases: expected a list, found {type(aliases).__name__}.")
        found[str(name)] = {**settings, "aliases": [alias, *(other for other in aliases if other != alias)]}
    return found


def waits_for(service: Mapping[str, Any], more: Mapping[str, str], where: str) -> Document:
    """`depends_on` in its long form with further services: name → condition."""
    written = service.get("depends_on")
    if isinstance(written, list):
        written = {scalar(name, f"{where}.depends_on"): {"condition": "service_started"} for name in written}
    return {
        **mapping(written, f"{where}.depends_on"),
        **{name: {"condition": condition} for name, condition in more.items()},
    }


def links_to_pods(value: Any, captured: Collection[str], where: str) -> list[str]:
    """`links` of a service: those to a service that became a pod lead to the pod, under the name that they had."""
    if not isinstance(value, list):
        raise BadCompose(f"{where}: expected a list, found {type(value).__name__}.")
    links = []
    for item in value:
        target, _, alias = scalar(item, where).partition(":")
        links.append(f"{target}-pod:{alias or target}" if target in captured else str(item))
    return links


def published(ports: list[str]) -> list[str]:
    """Of the host's own addresses only loopback."""
    return [f"127.0.0.1:{port}" for port in ports]


def health_check(port: int, path: str, interval_s: int = 5) -> Document:
    """GET answers 200 inside the container. Each check costs a small process, hence the interval."""
    test = ["CMD", "http-ok", str(port), path]
    return {"test": test, "interval": f"{interval_s}s", "timeout": "3s", "retries": 3}
