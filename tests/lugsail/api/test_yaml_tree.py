from typing import Any

import pytest

from lugsail.api.yaml_tree import plain_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("Yes", True),
        ("off", False),
        ("0", 0),
        ("-12", -12),
        ("1_000", 1000),
        ("0x1F", 31),
        ("0755", 493),
        ("0o17", 15),
        ("0b101", 5),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("09", 9.0),
        # What YAML 1.1 makes something else of, and JSON has no value for.
        ("2024-01-01", "2024-01-01"),
        ("1:30", "1:30"),
        ("127.0.0.1", "127.0.0.1"),
        ("0x", "0x"),
        ("0b_", "0b_"),
        (".inf", ".inf"),
        ("1e999", "1e999"),
        ("y", "y"),
        ("v1", "v1"),
        ("-", "-"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_unquoted_scalars_become_what_json_has(text: str, value: Any) -> None:
    found = plain_value(text)
    assert found == value
    assert type(found) is type(value)
