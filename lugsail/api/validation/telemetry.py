"""The rules of Telemetry."""

import re

from lugsail.api.base import PolicyTargetReference
from lugsail.api.telemetry import AccessLogging, CustomTag, Metrics, MetricsOverrides, ProviderRef, Telemetry, Tracing
from lugsail.api.validation.names import check_selector
from lugsail.api.validation.place import Place
from lugsail.api.validation.values import check_at_most_one, check_duration, check_percent

# A Prometheus label's name.
_TAG = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def check_telemetry(place: Place, resource: Telemetry) -> None:
    """The whole spec."""
    spec = resource.spec
    targets = {"selector": spec.selector, "targetRef": spec.target_ref, "targetRefs": spec.target_refs or None}
    check_at_most_one(place, targets.items())
    if spec.selector is not None:
        labels = spec.selector.match_labels
        check_selector(place / "selector" / "matchLabels", labels, "it applies to all workloads of the namespace")
    if spec.target_ref is not None:
        _check_target(place / "targetRef", spec.target_ref)
    for index, target in enumerate(spec.target_refs):
        _check_target(place / "targetRefs" / index, target)
    if len(spec.tracing) > 1:
        (place / "tracing").fail("has more than one element", "write one, or one Telemetry for each workload")
    for index, tracing in enumerate(spec.tracing):
        _check_tracing(place / "tracing" / index, tracing)
    for index, metrics in enumerate(spec.metrics):
        _check_metrics(place / "metrics" / index, metrics)
    for index, logging in enumerate(spec.access_logging):
        _check_logging(place / "accessLogging" / index, logging)


def _check_target(place: Place, target: PolicyTargetReference) -> None:
    for name, value in (("kind", target.kind), ("name", target.name)):
        if not value:
            (place / name).fail("is required")
    if target.namespace:
        (place / "namespace").fail("must not be set: targets are in the resource's own namespace", "remove it")


def _check_providers(place: Place, providers: tuple[ProviderRef, ...]) -> None:
    for index, provider in enumerate(providers):
        if not provider.name:
            (place / index / "name").fail("is required", "write a provider of the mesh config's extensionProviders")


def _check_tracing(place: Place, tracing: Tracing) -> None:
    _check_providers(place / "providers", tracing.providers)
    if len(tracing.providers) > 1:
        (place / "providers").fail("names more than one: spans go to one provider", "keep one of them")
    check_percent(place / "randomSamplingPercentage", tracing.random_sampling_percentage)
    for name, tag in tracing.custom_tags.items():
        _check_tag(place / "customTags" / name, name, tag)


def _check_tag(place: Place, name: str, tag: CustomTag) -> None:
    if not name:
        place.fail("a tag needs a name")
    kinds = {
        "literal": tag.literal,
        "environment": tag.environment,
        "header": tag.header,
        "formatter": tag.formatter,
    }
    if check_at_most_one(place, kinds.items()) == 0:
        place.fail("says no value", "write literal, environment, header or formatter")
    if tag.literal is not None and not tag.literal.value:
        (place / "literal" / "value").fail("is required")
    if tag.environment is not None and not tag.environment.name:
        (place / "environment" / "name").fail("is required")
    if tag.header is not None and not tag.header.name:
        (place / "header" / "name").fail("is required")
    if tag.formatter is not None and not tag.formatter.value:
        (place / "formatter" / "value").fail("is required")


def _check_metrics(place: Place, metrics: Metrics) -> None:
    _check_providers(place / "providers", metrics.providers)
    check_duration(place / "reportingInterval", metrics.reporting_interval)
    for index, override in enumerate(metrics.overrides):
        _check_override(place / "overrides" / index, override)


def _check_override(place: Place, override: MetricsOverrides) -> None:
    match = override.match
    if match is not None:
        choice = {"metric": match.metric, "customMetric": match.custom_metric}
        check_at_most_one(place / "match", choice.items())
        if match.custom_metric == "":
            (place / "match" / "customMetric").fail("is empty", "write a metric's name")
    for name, tag in override.tag_overrides.items():
        here = place / "tagOverrides" / name
        if not _TAG.match(name):
            here.fail(f"{name!r} is not a label's name", "letters, digits and _ are allowed, a digit not first")
        if tag.operation == "UPSERT" and not tag.value:
            (here / "value").fail("is required for UPSERT", "write an expression such as request.method")
        if tag.operation == "REMOVE" and tag.value:
            (here / "value").fail("has no place beside REMOVE", "remove it")


def _check_logging(place: Place, logging: AccessLogging) -> None:
    _check_providers(place / "providers", logging.providers)
    if logging.filter is not None and not logging.filter.expression:
        (place / "filter" / "expression").warn("is empty: everything is logged")
