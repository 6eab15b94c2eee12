"""Warnings for rules that no traffic can reach: an earlier rule takes it all."""

from collections.abc import Sequence
from typing import Any

from lugsail.api.validation.place import Place
from lugsail.api.virtual_service import HTTPMatchRequest, HTTPRoute, TCPRoute, TLSRoute, VirtualServiceSpec


def warn_unreachable(place: Place, spec: VirtualServiceSpec) -> None:
    """Of all three protocols."""
    _warn_rules(place / "http", spec.http)
    _warn_rules(place / "tls", spec.tls)
    _warn_rules(place / "tcp", spec.tcp)
    _warn_covered_prefixes(place / "http", spec.http)


def _warn_rules(place: Place, rules: Sequence[HTTPRoute | TLSRoute | TCPRoute]) -> None:
    seen: dict[str, int] = {}
    catch_all: int | None = None
    for index, rule in enumerate(rules):
        if catch_all is not None:
            (place / index).warn(
                f"is never reached: {_shown(place, rules, catch_all)} before it matches everything", "move it up"
            )
            continue
        if not rule.match or any(_matches_everything(match) for match in rule.match):
            catch_all = index
        twins = 0
        for match_index, match in enumerate(rule.match):
            text = match.model_copy(update={"name": ""}).model_dump_json(exclude_defaults=True)
            first = seen.setdefault(text, index)
            if first != index:
                twins += 1
                here = place / index / "match" / match_index
                here.warn(f"is never used: {_shown(place, rules, first)} has the same match", "remove it")
        if rule.match and twins == len(rule.match):
            (place / index).warn("is never reached: earlier rules have all its matches", "remove it")


def _shown(place: Place, rules: Sequence[Any], index: int) -> str:
    name = getattr(rules[index], "name", "")
    return f"{(place / index).path} ({name})" if name else (place / index).path


def _matches_everything(match: Any) -> bool:
    conditions = match.model_dump(exclude_defaults=True, exclude={"name", "stat_prefix", "ignore_uri_case"})
    return all(name == "uri" and condition.get("prefix") in ("", "/") for name, condition in conditions.items())


def _warn_covered_prefixes(place: Place, rules: Sequence[HTTPRoute]) -> None:
    """`/a` before `/ab`, with all else equal."""
    earlier: dict[str, _Prefixes] = {}  # the other conditions → prefixes beside them
    for index, rule in enumerate(rules):
        own: list[tuple[str, str]] = []
        for match_index, match in enumerate(rule.match):
            prefix = match.uri.prefix if match.uri is not None else None
            if not prefix or prefix == "/":
                continue
            rest = _without_uri(match)
            cover = earlier[rest].covering(prefix) if rest in earlier else None
            if cover is not None:
                here = place / index / "match" / match_index
                earlier_rule = _shown(place, rules, cover[0])
                here.warn(f"is never used: prefix {cover[1]} of {earlier_rule} covers it", "move it up")
            own.append((rest, prefix))
        for rest, prefix in own:
            earlier.setdefault(rest, _Prefixes()).add(index, prefix)


class _Prefixes:
    """Prefixes by their length: a rule with thousands is checked in as many look-ups, not in their square."""

    def __init__(self) -> None:
        self._by_length: dict[int, dict[str, tuple[int, str]]] = {}

    def add(self, index: int, prefix: str) -> None:
        """A prefix of the rule with this index; the first rule that has it counts."""
        self._by_length.setdefault(len(prefix), {}).setdefault(prefix, (index, prefix))

    def covering(self, prefix: str) -> tuple[int, str] | None:
        """(index of the rule, its prefix) of the first rule with a shorter prefix that begins this one."""
        shorter = (known.get(prefix[:length]) for length, known in self._by_length.items() if length < len(prefix))
        return min((found for found in shorter if found is not None), key=lambda found: found[0], default=None)


def _without_uri(match: HTTPMatchRequest) -> str:
    return match.model_copy(update={"name": "", "uri": None, "stat_prefix": ""}).model_dump_json(exclude_defaults=True)
