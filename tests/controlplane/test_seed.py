"""A store that has never held anything begins with the seed; no other does."""

from pathlib import Path

import pytest

from controlplane.apiserver.storage import Store
from controlplane.seed import BadSeed, seed_store
from lugsail.lab.paths import shipped

SAMPLE = shipped("samples/bookinfo/bookinfo-gateway.yaml")


def test_a_new_store_begins_with_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db")
    assert seed_store(store, SAMPLE) == 2
    keys = [str(stored.key) for stored in store.list()]
    assert keys == ["Gateway default/bookinfo-gateway", "VirtualService default/bookinfo"]
    assert store.list()[0].to_dict()["metadata"]["namespace"] == "default"
    store.close()


def test_what_was_deleted_stays_deleted(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db")
    seed_store(store, SAMPLE)
    for stored in store.list():
        store.delete(stored.key)
    store.close()
    store = Store(tmp_path / "store.db")
    assert seed_store(store, SAMPLE) == 0
    assert store.list() == []
    store.close()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read: No such file"),
        ("a: [", "seed.yaml"),
        ("apiVersion: networking.istio.io/v1\nkind: Gatewy\nmetadata: {name: a}\nspec: {}\n", "Gatewy"),
    ],
)
def test_a_bad_seed_writes_nothing(tmp_path: Path, text: str | None, message: str) -> None:
    seed = tmp_path / "seed.yaml"
    if text is not None:
        seed.write_text(SAMPLE.read_text() + "---\n" + text)
    store = Store(tmp_path / "store.db")
    with pytest.raises(BadSeed, match=message):
        seed_store(store, seed)
    assert store.list() == []
    store.close()
