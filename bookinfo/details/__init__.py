"""The details service: who wrote the book, when, and its numbers."""

from bookinfo.details.app import main

__all__ = ["main"]
