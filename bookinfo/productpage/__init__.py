"""The product page: the front of Bookinfo, which calls details and reviews and shows the book."""

from bookinfo.productpage.app import main

__all__ = ["main"]
