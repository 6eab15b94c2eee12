"""The page of commands is the commands'."""

from __future__ import annotations

from pathlib import Path

from lugsail.cli.main import COMMANDS
from lugsail.cli.reference import page

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "cli.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m lugsail.cli.reference > docs/reference/cli.md"


def test_every_command_and_option_is_described() -> None:
    text = page()
    for name, command in COMMANDS.items():
        assert (f"## lugsail {name}\n" in text) is not command.hidden
    assert "| |  |" not in text
    assert not [line for line in text.splitlines() if line.startswith("| `") and line.endswith("|  |")]
