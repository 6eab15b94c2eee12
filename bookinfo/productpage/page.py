"""What the template shows of the reviews, whatever the service sent. Pure."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

MOST_STARS = 5
_COLOR = re.compile(r"[a-zA-Z]{1,20}")


class Review(NamedTuple):
    """One review. `stars` is 0…5, or None where the version shows none; `error` is why there are none."""

    reviewer: str
    text: str
    stars: int | None = None
    color: str = ""
    error: str = ""


def reviews_of(body: dict[str, Any]) -> list[Review]:
    """The reviews in an answer of the reviews service; what is not a review is left out."""
    entries = body.get("reviews")
    return [_review(entry) for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _review(entry: dict[str, Any]) -> Review:
    plain = Review(reviewer=str(entry.get("reviewer", "")), text=str(entry.get("text", "")))
    rating = entry.get("rating")
    if not isinstance(rating, dict):
        return plain
    if "error" in rating:
        return plain._replace(error=str(rating["error"]))
    stars, color = rating.get("stars"), str(rating.get("color", "black"))
    if isinstance(stars, bool) or not isinstance(stars, int) or stars < 0 or not _COLOR.fullmatch(color):
        return plain
    return plain._replace(stars=min(stars, MOST_STARS), color=color)
