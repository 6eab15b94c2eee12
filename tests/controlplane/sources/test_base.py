from controlplane.sources.base import Delete, Upsert, difference
from controlplane.sources.static_file import parse_registry
from tests.controlplane.sources.test_static_file import workload


def test_difference_is_what_changed_upserts_first():
    before = parse_registry(workload("a", "1.1.1.1") + workload("b", "1.1.1.2"), "f")
    after = parse_registry(workload("b", "1.1.1.3") + workload("c", "1.1.1.4"), "f")
    changes = list(difference(before, after))
    assert [(type(c), c.key.name) for c in changes] == [(Upsert, "b"), (Upsert, "c"), (Delete, "a")]


def test_equal_resources_are_no_change():
    text = workload("a", "1.1.1.1")
    assert list(difference(parse_registry(text, "f"), parse_registry(text, "f"))) == []
