"""The ratings service: how many stars each reviewer gave."""

from bookinfo.ratings.app import main

__all__ = ["main"]
