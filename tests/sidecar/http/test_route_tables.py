"""Route tables by name, as RDS moves them."""

from __future__ import annotations

from sidecar.config.routes import RouteConfiguration
from sidecar.http.route_tables import RouteTables


def test_who_waits_is_told_once_and_users_see_every_update() -> None:
    tables, told = RouteTables(), []
    slot = tables.slot("9080")
    slot.waiting.append(lambda: told.append("ready"))
    assert slot.table is None
    tables.update(RouteConfiguration(name="9080"))
    first = slot.table
    tables.update(RouteConfiguration(name="9080"))
    assert told == ["ready"]
    assert slot.table is not first
    assert tables.slot("9080") is slot


def test_removed_routes_serve_on_and_come_back_in_the_same_slot() -> None:
    tables = RouteTables()
    tables.update(RouteConfiguration(name="9080"))
    slot = tables.slot("9080")
    old = slot.table
    tables.remove("9080")
    assert tables.tables == {}
    assert slot.table is old
    tables.update(RouteConfiguration(name="9080"))
    assert slot.table is not old
    assert list(tables.tables) == ["9080"]
