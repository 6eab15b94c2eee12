"""All cases, in the order in which they run."""

from __future__ import annotations

from tests.oracle.cases import changing, matching

CASES = (*matching.CASES, *changing.CASES)
