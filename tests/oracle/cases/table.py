"""All cases, in the order in which they run."""

from __future__ import annotations

from tests.oracle.cases import changing, failing, gateways, matching, semantics, sharing

CASES = (*matching.CASES, *changing.CASES, *failing.CASES, *sharing.CASES, *gateways.CASES, *semantics.CASES)
