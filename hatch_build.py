"""Puts the files that Lugsail ships beside its code (topology, samples, observers' configuration) into wheels alone.

An editable install finds them in the clone. Copies of them in site-packages would go stale there, and would leave a
`lugsail` folder without the package in it.
"""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SHIPPED = ("compose", "samples", "observability")


class ShippedFiles(BuildHookInterface):  # type: ignore[type-arg]
    """`lugsail.lab.paths.shipped` reads what this writes."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "standard":
            build_data["force_include"] |= {folder: f"lugsail/shipped/{folder}" for folder in SHIPPED}
