"""The rules of `localityLbSetting`."""

from lugsail.api.destination_rule import LocalityLbSetting
from lugsail.api.validation.place import Place

_TOPOLOGY_LABELS = frozenset(
    ("topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone")
)


def check_locality_lb(place: Place, setting: LocalityLbSetting | None, *, has_outlier_detection: bool) -> None:
    """Distribution, failover and priorities; failover needs outlier detection to notice a failure."""
    if setting is None:
        return
    if setting.distribute and setting.failover:
        place.fail("distribute and failover exclude each other", "keep one of them")
    if setting.failover:
        for index, label in enumerate(setting.failover_priority):
            if label in _TOPOLOGY_LABELS:
                here = place / "failoverPriority" / index
                here.fail(f"{label} has no place beside `failover`", "remove one of them")
    for index, entry in enumerate(setting.distribute):
        here = place / "distribute" / index
        for locality, weight in entry.to.items():
            if not 1 <= weight <= 100:
                (here / "to" / locality).fail(f"{weight} is not a share", "write 1 to 100")
        if sum(entry.to.values()) != 100:
            (here / "to").fail(f"the shares add up to {sum(entry.to.values())}", "they must add up to 100")
        _check_localities(here / "to", list(entry.to))
    _check_localities(place / "distribute", [entry.from_ for entry in setting.distribute])
    for index, failover in enumerate(setting.failover):
        here = place / "failover" / index
        if failover.from_ == failover.to:
            here.fail("a region cannot take over from itself", "name two regions")
        for name, region in (("from", failover.from_), ("to", failover.to)):
            if "/" in region or "*" in region:
                (here / name).fail(f"{region!r} is not a region", "write a region alone, without zone and wildcard")
    if (setting.failover or setting.failover_priority) and not has_outlier_detection:
        place.warn("without outlierDetection no failure is noticed, so nothing fails over", "add outlierDetection")


def _check_localities(place: Place, localities: list[str]) -> None:
    """`region/zone/subzone`, shorter or ending in `*`; none may be part of another."""
    seen: list[list[str]] = []
    for locality in localities:
        if "*" in locality[:-1]:
            place.fail(f"{locality!r} has a wildcard that is not at its end", 'write such as "us-west/*"')
            continue
        parts = locality.split("/", 2)
        if "" in parts:
            place.fail(f"{locality!r} has an empty part", 'write "region", "region/zone" or "region/zone/subzone"')
            continue
        reach = [part for part in parts if part != "*"]
        if any(other == reach[: len(other)] or reach == other[: len(reach)] for other in seen):
            place.fail(f"{locality!r} overlaps with another locality", "name each place once")
        seen.append(reach)
