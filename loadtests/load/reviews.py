"""The resources that split reviews' traffic, as a trainer would apply them, and the applying itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

from lugsail.lab.paths import shipped, source_root

APPLY_LIMIT_S = 30.0
SUBSETS = "samples/bookinfo/destination-rule-reviews.yaml"


class ApplyFailed(RuntimeError):
    """`lugsail apply` failed; the message holds what it printed."""


def virtual_service(shares: Mapping[str, int]) -> str:
    """A VirtualService that splits reviews by subset; `shares` in per cent, those of 0 are left out."""
    routes = [
        {"destination": {"host": "reviews", "subset": subset}, "weight": weight}
        for subset, weight in shares.items()
        if weight
    ]
    resource = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "reviews"},
        "spec": {"hosts": ["reviews"], "http": [{"route": routes}]},
    }
    return str(yaml.safe_dump(resource, sort_keys=False))


def subsets() -> str:
    """The DestinationRule that the split needs, from the samples."""
    return Path(shipped(SUBSETS)).read_text(encoding="utf-8")


def apply(text: str) -> str:
    """Apply it and wait for every proxy; what the command printed. Raises ApplyFailed."""
    environment = os.environ | {"PYTHONPATH": str(source_root()), "NO_COLOR": "1"}
    argv = [sys.executable, "-m", "lugsail", "apply", "-f", "-"]
    try:
        done = subprocess.run(
            argv, input=text, env=environment, capture_output=True, text=True, timeout=APPLY_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise ApplyFailed(f"lugsail apply took over {APPLY_LIMIT_S:g} s") from None
    if done.returncode != 0:
        raise ApplyFailed(f"lugsail apply: exit {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done.stdout
