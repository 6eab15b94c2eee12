"""The rules of DestinationRule."""

from lugsail.api.destination_rule import DestinationRule
from lugsail.api.validation.names import check_labels, check_selector, check_wildcard_host, is_dns_label
from lugsail.api.validation.place import Place
from lugsail.api.validation.traffic_policy import check_traffic_policy
from lugsail.api.validation.values import check_export_to


def check_destination_rule(place: Place, resource: DestinationRule) -> None:
    """The whole spec."""
    spec = resource.spec
    if spec.host:
        check_wildcard_host(place / "host", spec.host)
    else:
        (place / "host").fail("is required", "name the service, such as reviews")
    check_traffic_policy(place / "trafficPolicy", spec.traffic_policy)
    first_of: dict[str, int] = {}
    for index, subset in enumerate(spec.subsets):
        here = place / "subsets" / index
        if not is_dns_label(subset.name):
            problem = f"{subset.name!r} is not a subset name" if subset.name else "is required"
            (here / "name").fail(problem, "letters, digits and - are allowed")
        elif first_of.setdefault(subset.name, index) != index:
            (here / "name").fail(f"{subset.name!r} is there twice", "give each subset its own name")
        check_labels(here / "labels", subset.labels)
        check_traffic_policy(here / "trafficPolicy", subset.traffic_policy)
    check_export_to(place / "exportTo", spec.export_to, resource.namespace)
    if spec.workload_selector is not None:
        selector = place / "workloadSelector" / "matchLabels"
        check_selector(selector, spec.workload_selector.match_labels, "it applies to all workloads of the namespace")
        if any(entry not in (".", resource.namespace) for entry in spec.export_to):
            (place / "exportTo").fail(
                "a rule for selected workloads stays in its own namespace", 'write ["."], or remove workloadSelector'
            )
