from tests.lugsail.api.helpers import assert_refused, error_texts, warning_texts


def test_good_rules() -> None:
    assert error_texts("DestinationRule", "host: reviews") == []
    subsets = "subsets: [{name: v1, labels: {version: v1}}, {name: v2}]"
    assert error_texts("DestinationRule", f"host: '*.local'\n{subsets}") == []
    assert error_texts("DestinationRule", "host: a\nworkloadSelector: {matchLabels: {app: a}}\nexportTo: ['.']") == []


def test_the_host_is_required_and_well_formed() -> None:
    assert_refused("DestinationRule", "subsets: []", ("host", "is required"))
    assert_refused("DestinationRule", "host: a b", ("host", "not a DNS label"))


def test_subsets() -> None:
    assert_refused(
        "DestinationRule",
        "host: a\nsubsets: [{name: v1}, {labels: {a: b}}, {name: v1}, {name: a.b, labels: {'a b': x, c: '-'},"
        " trafficPolicy: {}}]",
        ("subsets[1].name", "is required"),
        ("subsets[2].name", "'v1' is there twice"),
        ("subsets[3].name", "not a subset name"),
        ("subsets[3].labels", "'a b' is not a label name"),
        ("subsets[3].labels.c", "not a label value"),
        ("subsets[3].trafficPolicy", "sets nothing"),
    )


def test_a_rule_for_selected_workloads_stays_at_home() -> None:
    assert_refused(
        "DestinationRule",
        "host: a\nworkloadSelector: {matchLabels: {app: '*'}}\nexportTo: ['*']",
        ("workloadSelector.matchLabels.app", "wildcards are not supported"),
        ("exportTo", "stays in its own namespace"),
    )
    assert warning_texts("DestinationRule", "host: a\nworkloadSelector: {}") == [
        "spec.workloadSelector.matchLabels: selects by no label; it applies to all workloads of the namespace"
    ]
