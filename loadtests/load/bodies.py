"""What an answer of Bookinfo says, whatever its status: what failed, and which version of reviews made it. Pure.

The product page is a 200 even when everything behind it fails.
"""

from __future__ import annotations

import json
import re
from typing import Any

REVIEWS_FAILED = "Error fetching product reviews"
DETAILS_FAILED = "Error fetching product details"
RATINGS_FAILED = "Ratings service is currently unavailable"
NOT_THE_PAGE = "not the product page"
NOT_JSON = "not JSON"
NOT_SIGNED_IN = "not signed in"
CUT_OFF = "no answer: cut off at the end of the run"

SECTION = 'id="reviews"'
SERVED = "Book Reviews"
# By the stars' colour, as https://istio.io/latest/docs/examples/bookinfo/ has it.
VERSION_OF_COLOR = {None: "v1", "black": "v2", "red": "v3"}
_COLOR = re.compile(r'data-color="([a-zA-Z]{1,20})"')


def page_problem(body: str, user: str | None = None) -> str | None:
    """Why the product page is not as it should be, for that signed-in user; None when it is."""
    if SECTION not in body:
        return NOT_THE_PAGE
    for text in (REVIEWS_FAILED, DETAILS_FAILED, RATINGS_FAILED):
        if text in body:
            return text
    if SERVED not in body:
        return NOT_THE_PAGE
    if user is not None and f"<strong>{user}</strong>" not in body:
        return NOT_SIGNED_IN
    return None


def page_version(body: str) -> str | None:
    """The version of reviews that made the page; None where that cannot be told: reviews or ratings failed."""
    if SERVED not in body or RATINGS_FAILED in body:
        return None
    found = _COLOR.search(body)
    return VERSION_OF_COLOR.get(found[1] if found else None)


def products_problem(body: str) -> str | None:
    """What is wrong with the answer of /api/v1/products."""
    value = _parsed(body)
    if value is _BAD:
        return NOT_JSON
    good = isinstance(value, list) and value and all(isinstance(one, dict) and "title" in one for one in value)
    return None if good else "no list of products"


def details_problem(body: str) -> str | None:
    """What is wrong with the answer of /api/v1/products/0."""
    return _object_problem(body, "author", DETAILS_FAILED)


def reviews_problem(body: str) -> str | None:
    """What is wrong with the answer of /api/v1/products/0/reviews; a review without its rating is a failure."""
    problem = _object_problem(body, "reviews", REVIEWS_FAILED)
    if problem is None and RATINGS_FAILED in body:
        return RATINGS_FAILED
    return problem


def ratings_problem(body: str) -> str | None:
    """What is wrong with the answer of /api/v1/products/0/ratings."""
    return _object_problem(body, "ratings", RATINGS_FAILED)


def reviews_version(body: str) -> str | None:
    """As page_version, from the API's JSON."""
    value = _parsed(body)
    reviews = value.get("reviews") if isinstance(value, dict) else None
    if not isinstance(reviews, list) or not reviews or not isinstance(reviews[0], dict) or RATINGS_FAILED in body:
        return None
    rating = reviews[0].get("rating")
    return VERSION_OF_COLOR.get(rating.get("color") if isinstance(rating, dict) else None)


def no_answer(error: object) -> str:
    """A request that got no answer, by the client's exception: a few kinds, without addresses and numbers."""
    name = type(error).__name__
    kinds = {
        "ConnectionRefusedError": "connection refused",
        "ConnectionResetError": "connection reset",
        "HTTPConnectionClosed": "connection closed before the answer",
        "timeout": "timeout",
        "TimeoutError": "timeout",
    }
    return f"no answer: {kinds.get(name, name)}"


_BAD = object()


def _parsed(body: str) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return _BAD


def _object_problem(body: str, field: str, failed: str) -> str | None:
    value = _parsed(body)
    if value is _BAD:
        return NOT_JSON
    if not isinstance(value, dict):
        return "no JSON object"
    if "error" in value:
        return failed
    return None if field in value else f"no `{field}` in the answer"
