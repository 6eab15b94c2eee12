"""The product page's calls to details, reviews and ratings: how long each may take, how often it is tried."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from bookinfo.common.client import Answer, Client
from bookinfo.productpage.settings import Settings

REVIEWS_ATTEMPTS = 2
FAILED = 500


class Outcome(NamedTuple):
    """A status to pass on and a JSON body; the body is `{"error": …}` unless the status is 200."""

    status: int
    body: dict[str, Any]

    @property
    def ok(self) -> bool:
        """Whether the service answered what was asked."""
        return self.status == 200


class Backends:
    """Calls the other services. `results` counts the calls by (service, status) for /metrics."""

    def __init__(self, settings: Settings, client: Client) -> None:
        self._settings = settings
        self._client = client
        self.results: Counter[tuple[str, int]] = Counter()

    async def details(self, product_id: int, headers: Mapping[str, str]) -> Outcome:
        """One try."""
        url = f"{self._settings.details_url}/details/{product_id}"
        return _outcome("details", await self._call("details", url, headers))

    async def ratings(self, product_id: int, headers: Mapping[str, str]) -> Outcome:
        """One try."""
        url = f"{self._settings.ratings_url}/ratings/{product_id}"
        return _outcome("ratings", await self._call("ratings", url, headers))

    async def reviews(self, product_id: int, headers: Mapping[str, str]) -> Outcome:
        """A second try on anything but a 200: with both timing out, this takes twice the timeout."""
        url = f"{self._settings.reviews_url}/reviews/{product_id}"
        answer = Answer(None, None)
        for _ in range(REVIEWS_ATTEMPTS):
            answer = await self._call("reviews", url, headers)
            if answer.ok:
                break
        return _outcome("reviews", answer)

    async def flood(self, product_id: int, headers: Mapping[str, str]) -> None:
        """FLOOD_FACTOR calls to reviews at once; what they answer does not matter."""
        if self._settings.flood_factor:
            calls = (self.reviews(product_id, headers) for _ in range(self._settings.flood_factor))
            await asyncio.gather(*calls)

    async def _call(self, service: str, url: str, headers: Mapping[str, str]) -> Answer:
        answer = await self._client.get_json(url, headers, self._settings.timeout_s)
        self.results[service, answer.status or FAILED] += 1
        return answer


def _outcome(service: str, answer: Answer) -> Outcome:
    if answer.ok and isinstance(answer.body, dict):
        return Outcome(200, answer.body)
    status = FAILED if answer.status in (None, 200) else answer.status
    return Outcome(status, {"error": f"Sorry, the {service} of this book are not available right now."})
