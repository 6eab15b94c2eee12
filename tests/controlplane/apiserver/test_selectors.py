import pytest

from controlplane.apiserver.errors import ApiError
from controlplane.apiserver.selectors import parse_selectors
from tests.controlplane.apiserver.samples import create, open_store, virtual_service


@pytest.fixture
def stored(tmp_path):
    store = open_store(tmp_path / "store.db")
    yield create(store, virtual_service(labels={"team": "x", "empty": ""}))
    store.close()


@pytest.mark.parametrize(
    ("labels", "fields", "holds"),
    [
        ("", "", True),
        ("team==x", "", True),
        ("team = x , empty", "", True),
        ("other!=x", "", True),
        ("!other", "", True),
        ("!empty", "", False),
        ("", "metadata.name=reviews,metadata.namespace!=other", True),
        ("team=x", "metadata.name=ratings", False),
    ],
)
def test_requirements(stored, labels, fields, holds):
    assert parse_selectors({"labelSelector": labels, "fieldSelector": fields})(stored) is holds


def test_what_is_not_supported_is_said():
    with pytest.raises(ApiError, match="name=value"):
        parse_selectors({"labelSelector": "team in (x)"})
