"""The reviews service: two reviews of the book, with the reviewers' stars where its version shows them."""

from bookinfo.reviews.app import main

__all__ = ["main"]
