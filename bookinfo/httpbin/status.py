"""Picks the status that `/status/{codes}` answers. Pure: chance arrives as an argument."""

from __future__ import annotations

from http import HTTPStatus

CHOICES_LIMIT = 64


def parse_choices(text: str) -> list[tuple[int, float]]:
    """`200`, `200,503` or with weights `200:9,503:1`, as (status, weight). Raises ValueError saying what is wrong."""
    parts = text.split(",")
    if len(parts) > CHOICES_LIMIT:
        raise ValueError(f"at most {CHOICES_LIMIT} statuses")
    choices = []
    for part in parts:
        code, colon, weight = part.partition(":")
        status = int(code) if code.isascii() and code.isdigit() else 0
        if not 200 <= status <= 599:
            raise ValueError(f"{part!r} is not a status from 200 to 599")
        try:
            share = float(weight) if colon else 1.0
        except ValueError:
            share = -1.0
        if not 0 < share < float("inf"):
            raise ValueError(f"{part!r}: the weight must be a number above 0")
        choices.append((status, share))
    return choices


def pick(choices: list[tuple[int, float]], chance: float) -> int:
    """One of the statuses by weight; `chance` is uniform in [0, 1)."""
    left = chance * sum(weight for _, weight in choices)
    for status, weight in choices:
        left -= weight
        if left < 0:
            return status
    return choices[-1][0]


def reason(status: int) -> str:
    """The usual phrase of a status, empty for one that has none."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
