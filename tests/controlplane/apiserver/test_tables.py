from datetime import UTC, datetime, timedelta

import pytest

from controlplane.apiserver.tables import COLUMNS, age, table, wants_table
from lugsail.api.kinds import KINDS
from tests.controlplane.apiserver.samples import create, open_store, virtual_service

NOW = datetime(2026, 1, 1, 0, 5, tzinfo=UTC)


def test_columns_and_cells(tmp_path):
    store = open_store(tmp_path / "store.db")
    stored = create(store, virtual_service())
    made = table("VirtualService", [stored], 7, NOW)
    assert [c["name"] for c in made["columnDefinitions"]] == ["Name", "Gateways", "Hosts", "Age"]
    assert made["rows"][0]["cells"] == ["reviews", "", '["reviews"]', "5m"]
    assert made["rows"][0]["object"]["metadata"]["uid"] == "uid-1"
    store.close()


def test_columns_are_of_kinds_and_fields_that_exist():
    for kind, columns in COLUMNS.items():
        fields = KINDS[kind].model.model_fields["spec"].annotation.model_fields
        assert {field for _, field in columns} <= set(fields)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (7199, "119m"),
        (7200, "2h"),
        (172_799, "47h"),
        (172_800, "2d"),
        (-5, "0s"),
    ],
)
def test_age(seconds, text):
    assert age((NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ"), NOW) == text


def test_wants_table_only_when_it_comes_first():
    assert wants_table("application/json;as=Table;v=v1;g=meta.k8s.io,application/json")
    assert not wants_table("application/json, application/json;as=Table")
    assert not wants_table("")
