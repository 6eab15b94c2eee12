from typing import Any

from lugsail.api.validation.envoy_value import check_value
from lugsail.api.validation.place import Place, Report

LUA = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"


def checked(apply_to: str, value: dict[str, Any]) -> Report:
    report = Report()
    check_value(Place("value", report), apply_to, value)
    return report


def test_a_good_filter() -> None:
    value = {"name": "lua", "typed_config": {"@type": LUA, "default_source_code": {"inline_string": "x"}}}
    report = checked("HTTP_FILTER", value)
    assert (report.errors, report.warnings) == ([], [])


def test_a_type_error_is_an_error() -> None:
    report = checked("CLUSTER", {"connect_timeout": "soon"})
    assert [error.path for error in report.errors] == ["value"]
    assert "is not a Cluster of Envoy" in report.errors[0].message


def test_an_unknown_field_is_a_warning() -> None:
    report = checked("HTTP_FILTER", {"name": "lua", "typed_config": {"@type": LUA, "sauce": "x"}})
    assert report.errors == []
    assert "sauce" in report.warnings[0].message


def test_types_that_are_not_known() -> None:
    report = checked("HTTP_FILTER", {"typed_config": {"@type": "type.googleapis.com/envoy.extensions.no.v3.Such"}})
    assert report.errors == []
    assert [warning.path for warning in report.warnings] == ['value.typed_config["@type"]']


def test_the_old_api_and_broken_types_are_refused() -> None:
    old = "type.googleapis.com/envoy.config.filter.http.lua.v2.Lua"
    assert "v2 API" in checked("HTTP_FILTER", {"typed_config": {"@type": old}}).errors[0].message
    assert "is not a type" in checked("HTTP_FILTER", {"list": [{"@type": 3}]}).errors[0].message
    assert checked("HTTP_FILTER", {"list": [{"@type": 3}]}).errors[0].path == 'value.list[0]["@type"]'


def test_where_nothing_is_known_nothing_is_said() -> None:
    report = checked("INVALID", {"anything": 1})
    assert (report.errors, report.warnings) == ([], [])
