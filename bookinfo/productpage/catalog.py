"""The shop's whole stock: one book."""

from __future__ import annotations

from typing import NamedTuple


class Product(NamedTuple):
    """A book on sale."""

    id: int
    title: str
    description: str


PRODUCTS = (
    Product(
        id=0,
        title="The Comedy of Errors",
        description=(
            "Two pairs of twins, parted by a shipwreck, end up in one town on one day. "
            "Every message reaches the wrong brother, and every answer comes from the other. "
            "Shakespeare's shortest play, and the first one about misrouted requests."
        ),
    ),
)


def product(product_id: int) -> Product | None:
    """The book with that id, or None."""
    return PRODUCTS[product_id] if 0 <= product_id < len(PRODUCTS) else None
