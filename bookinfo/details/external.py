"""Version 2 of the details: asks an outside book API by ISBN (the shape of Google Books' `volumes` answer).

DO_NOT_ENCRYPT=true sends plain HTTP to port 80, so that the mesh can originate TLS. EXTERNAL_BOOK_SERVICE_HOST and
EXTERNAL_BOOK_SERVICE_PORT point it elsewhere, for example at a stand-in on a machine without the internet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bookinfo.common.client import Client
from bookinfo.common.settings import is_on, port

ISBN = "0486424618"
TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class BookService:
    """Where the book API is. `base_url` has no slash at its end."""

    base_url: str
    timeout_s: float = TIMEOUT_S

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> BookService:
        """Reads the environment; raises InvalidSetting."""
        plain = is_on(env, "DO_NOT_ENCRYPT")
        host = env.get("EXTERNAL_BOOK_SERVICE_HOST") or "www.googleapis.com"
        number = port(env, "EXTERNAL_BOOK_SERVICE_PORT", 80 if plain else 443)
        usual = number == (80 if plain else 443)
        return cls(f"{'http' if plain else 'https'}://{host}{'' if usual else f':{number}'}")

    async def ask(self, client: Client, book_id: int, headers: Mapping[str, str]) -> dict[str, Any]:
        """The details of the book, or `{"error": …}`."""
        answer = await client.get_json(f"{self.base_url}/books/v1/volumes?q=isbn:{ISBN}", headers, self.timeout_s)
        if not answer.ok:
            reason = answer.problem or f"it answered {answer.status}"
            return {"error": f"the book service at {self.base_url} is unavailable: {reason}"}
        found = details_of(answer.body, book_id)
        return found or {"error": f"the book service at {self.base_url} knows no book with ISBN {ISBN}"}


def details_of(answer: Any, book_id: int) -> dict[str, Any] | None:
    """Bookinfo's details from a `volumes` answer; None when there is no usable book in it."""
    try:
        volume = answer["items"][0]["volumeInfo"]
        numbers = {entry["type"]: entry["identifier"] for entry in volume.get("industryIdentifiers", ())}
        return {
            "id": book_id,
            "author": volume["authors"][0],
            "year": int(str(volume["publishedDate"])[:4]),
            "type": "paperback" if volume.get("printType") == "BOOK" else "unknown",
            "pages": volume.get("pageCount"),
            "publisher": volume.get("publisher"),
            "language": "English" if volume.get("language") == "en" else "unknown",
            "ISBN-10": numbers.get("ISBN_10"),
            "ISBN-13": numbers.get("ISBN_13"),
        }
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return None
