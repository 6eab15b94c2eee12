"""`lugsail validate`: checks resources offline."""

from __future__ import annotations

from lugsail.cli.apply import FileOption
from lugsail.cli.connect import NamespaceOption, OutputOption
from lugsail.cli.manifests import Reading, read_manifests
from lugsail.cli.output import FAILURE, as_json, check_format, counted, error, warn

EXAMPLES = """\b
Examples:
  lugsail validate -f samples/          every file below it
  lugsail validate -f - < rule.yaml"""


def validate(filename: FileOption, namespace: NamespaceOption = "default", output: OutputOption = None) -> int:
    """Check resources without a mesh: every error with its file, line and path. Exits with 1 when there is one."""
    check_format(output, ["json"])
    reading = read_manifests(filename, namespace)
    if output == "json":
        valid = [manifest.ref for manifest in reading.manifests]
        print(as_json({"valid": valid, "errors": reading.errors, "warnings": reading.warnings}))
        return FAILURE if reading.errors else 0
    for text in reading.warnings:
        warn(f"warning: {text}")
    for text in reading.errors:
        error(text)
    for manifest in reading.manifests:
        print(f"{manifest.ref} is valid")
    _summary(reading)
    return FAILURE if reading.errors else 0


def _summary(reading: Reading) -> None:
    """How much was looked at, where it was more than one thing."""
    if len(reading.manifests) + len(reading.errors) > 1:
        parts = [f"{len(reading.manifests)} valid"]
        parts += [counted(len(reading.errors), "error")] if reading.errors else []
        parts += [counted(len(reading.warnings), "warning")] if reading.warnings else []
        print(", ".join(parts))
