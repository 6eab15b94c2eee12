"""What a page says, against the real page of Bookinfo: its template and its reviews service."""

from __future__ import annotations

import json

import jinja2
import pytest

from bookinfo.productpage.backends import Outcome
from bookinfo.productpage.catalog import PRODUCTS
from bookinfo.productpage.page import reviews_of
from bookinfo.reviews.app import Settings, answer
from loadtests.load import bodies
from lugsail.lab.paths import source_root

TEMPLATES = source_root() / "bookinfo" / "productpage" / "templates"
STARS = {"Reviewer1": 5, "Reviewer2": 4}
RATINGS = "http://ratings:9080"
VERSIONS = {
    "v1": Settings(),
    "v2": Settings(ratings_url=RATINGS),
    "v3": Settings(ratings_url=RATINGS, star_color="red"),
}
DETAILS = Outcome(200, {"author": "W"})
FAILED = Outcome(500, {"error": "Sorry, not available."})


def page(reviews: Outcome, details: Outcome = DETAILS, user: str | None = None) -> str:
    loader = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True)
    return loader.get_template("productpage.html").render(
        product=PRODUCTS[0], details=details, reviews=reviews, shown_reviews=reviews_of(reviews.body), user=user
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_versions_are_told_by_their_stars(version: str) -> None:
    body = answer(0, VERSIONS[version], STARS)
    assert bodies.page_version(page(Outcome(200, body))) == version
    assert bodies.reviews_version(json.dumps(body)) == version
    assert bodies.page_problem(page(Outcome(200, body))) is None
    assert bodies.reviews_problem(json.dumps(body)) is None


def test_failures_in_a_page_of_status_200() -> None:
    good = Outcome(200, answer(0, VERSIONS["v1"], None))
    assert bodies.page_problem(page(FAILED)) == bodies.REVIEWS_FAILED
    assert bodies.page_problem(page(good, details=FAILED)) == bodies.DETAILS_FAILED
    assert bodies.page_version(page(FAILED)) is None


def test_reviews_without_ratings_are_a_failure_and_of_no_version() -> None:
    body = answer(0, VERSIONS["v3"], None)
    assert bodies.page_problem(page(Outcome(200, body))) == bodies.RATINGS_FAILED
    assert bodies.page_version(page(Outcome(200, body))) is None
    assert bodies.reviews_problem(json.dumps(body)) == bodies.RATINGS_FAILED
    assert bodies.reviews_version(json.dumps(body)) is None


def test_who_is_signed_in() -> None:
    text = page(Outcome(200, answer(0, VERSIONS["v1"], None)), user="jason")
    assert bodies.page_problem(text, "jason") is None
    assert bodies.page_problem(text, "mary") == bodies.NOT_SIGNED_IN
    assert bodies.page_problem("<html>It works!</html>") == bodies.NOT_THE_PAGE


@pytest.mark.parametrize(
    ("problem", "body", "expected"),
    [
        (bodies.products_problem, '[{"title": "x"}]', None),
        (bodies.products_problem, "[]", "no list of products"),
        (bodies.products_problem, "<html>", bodies.NOT_JSON),
        (bodies.details_problem, '{"author": "W"}', None),
        (bodies.details_problem, '{"error": "Sorry"}', bodies.DETAILS_FAILED),
        (bodies.details_problem, "[1]", "no JSON object"),
        (bodies.reviews_problem, "{}", "no `reviews` in the answer"),
        (bodies.ratings_problem, '{"ratings": {}}', None),
        (bodies.ratings_problem, "", bodies.NOT_JSON),
    ],
)
def test_the_api(problem: object, body: str, expected: str | None) -> None:
    assert problem(body) == expected  # type: ignore[operator]


@pytest.mark.parametrize("body", ["null", "[]", '{"reviews": []}', '{"reviews": [3]}', "{", '{"reviews": 5}'])
def test_what_is_no_review_has_no_version(body: str) -> None:
    assert bodies.reviews_version(body) is None


def test_no_answer_is_named_without_addresses() -> None:
    assert bodies.no_answer(ConnectionRefusedError(111, "x")) == "no answer: connection refused"
    assert bodies.no_answer(ValueError("x")) == "no answer: ValueError"
