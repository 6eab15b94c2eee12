"""What the page shows of an answer of the reviews service."""

import pytest

from bookinfo.productpage.page import Review, reviews_of


def one(rating):
    return reviews_of({"reviews": [{"reviewer": "R", "text": "T", "rating": rating}]})[0]


def test_without_a_rating():
    assert reviews_of({"reviews": [{"reviewer": "R", "text": "T"}]}) == [Review("R", "T")]


def test_with_stars():
    assert one({"stars": 4, "color": "red"}) == Review("R", "T", 4, "red")


def test_more_stars_than_there_are():
    assert one({"stars": 9, "color": "black"}).stars == 5


def test_an_error_instead_of_stars():
    assert one({"error": "gone"}) == Review("R", "T", error="gone")


@pytest.mark.parametrize("rating", [None, 5, "x", {"stars": -1}, {"stars": "5"}, {"stars": 5, "color": "red;x:url()"}])
def test_a_rating_that_makes_no_sense_is_not_shown(rating):
    assert one(rating) == Review("R", "T")


@pytest.mark.parametrize("body", [{}, {"reviews": None}, {"reviews": "x"}, {"reviews": [1, None]}])
def test_an_answer_without_reviews(body):
    assert reviews_of(body) == []
