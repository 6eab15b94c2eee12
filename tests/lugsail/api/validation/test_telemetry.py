import pytest

from tests.lugsail.api.helpers import assert_refused, error_texts


@pytest.mark.parametrize(
    "spec",
    [
        "{}",
        "accessLogging: [{providers: [{name: envoy}], filter: {expression: response.code >= 400}}]",
        "selector: {matchLabels: {app: a}}\naccessLogging: [{disabled: true, match: {mode: CLIENT}}]",
        "tracing: [{randomSamplingPercentage: 10.5, customTags: {env: {literal: {value: lab}}}}]",
        "tracing: [{disableSpanReporting: true, providers: [{name: tracing}]}]",
        "metrics: [{providers: [{name: prometheus}], overrides: [{match: {metric: REQUEST_COUNT, mode: CLIENT},"
        " tagOverrides: {request_method: {value: request.method}, response_flags: {operation: REMOVE}}}]}]",
    ],
)
def test_good_resources(spec: str) -> None:
    assert error_texts("Telemetry", spec) == []


def test_refused_resources() -> None:
    assert_refused(
        "Telemetry",
        "selector: {matchLabels: {app: a}}\ntargetRefs: [{kind: Gateway, name: g}]",
        ("", "selector and targetRefs exclude each other"),
    )
    assert_refused("Telemetry", "tracing: [{}, {}]", ("tracing", "more than one element"))
    assert_refused(
        "Telemetry",
        "tracing: [{randomSamplingPercentage: 101, providers: [{name: a}, {name: b}], customTags: {t: {}}}]",
        ("tracing[0].providers", "more than one"),
        ("tracing[0].randomSamplingPercentage", "101 is not a percentage"),
        ("tracing[0].customTags.t", "says no value"),
    )
    assert_refused(
        "Telemetry",
        "metrics: [{overrides: [{tagOverrides: {a-b: {operation: REMOVE, value: x}, c: {}}}]}]",
        ("metrics[0].overrides[0].tagOverrides.a-b", "not a label's name"),
        ("metrics[0].overrides[0].tagOverrides.a-b.value", "no place beside REMOVE"),
        ("metrics[0].overrides[0].tagOverrides.c.value", "required for UPSERT"),
    )
    place = "accessLogging[0].providers[0].name"
    assert_refused("Telemetry", "accessLogging: [{providers: [{}]}]", (place, "required"))
