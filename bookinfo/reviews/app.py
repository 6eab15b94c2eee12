"""HTTP face of the reviews service: `/reviews/<int>` and `/health`.

Three versions, by environment: v1 shows no stars, v2 (ENABLE_RATINGS=true) black ones, v3 (and STAR_COLOR=red) red.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from bookinfo.common.propagation import END_USER, passed_on
from bookinfo.common.server import CLIENT, add_client, run
from bookinfo.common.settings import is_on, service_url

# The longer one is on purpose longer than the product page waits: the flaw that the fault-delay task uncovers.
BLACK_TIMEOUT_S = 10.0
OTHER_TIMEOUT_S = 2.5
RATINGS_ERROR = "Ratings service is currently unavailable"

TEXTS = {
    "Reviewer1": "Two masters, two servants, one face each: nobody gets the message meant for him. I laughed out loud.",
    "Reviewer2": "Slow to start, but stay for the last act, when both twins stand in one room at last.",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What one instance is. `ratings_url` is None where the version shows no stars."""

    pod_name: str = "null"
    cluster_name: str = "null"
    ratings_url: str | None = None
    star_color: str = "black"
    ratings_timeout_s: float = BLACK_TIMEOUT_S

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Reads the environment; raises InvalidSetting."""
        color = env.get("STAR_COLOR") or "black"
        return cls(
            pod_name=env.get("HOSTNAME") or "null",
            cluster_name=env.get("CLUSTER_NAME") or "null",
            ratings_url=service_url(env, "ratings") if is_on(env, "ENABLE_RATINGS") else None,
            star_color=color,
            ratings_timeout_s=BLACK_TIMEOUT_S if color == "black" else OTHER_TIMEOUT_S,
        )


SETTINGS = web.AppKey("settings", Settings)


def answer(product_id: int, settings: Settings, stars: Mapping[str, Any] | None) -> dict[str, Any]:
    """The body of `/reviews/<int>`. `stars` maps reviewer to number; None says that they could not be had."""
    reviews: list[dict[str, Any]] = []
    for reviewer, text in TEXTS.items():
        review: dict[str, Any] = {"reviewer": reviewer, "text": text}
        if settings.ratings_url is not None:
            if stars is None:
                review["rating"] = {"error": RATINGS_ERROR}
            else:
                review["rating"] = {"stars": stars.get(reviewer, -1), "color": settings.star_color}
        reviews.append(review)
    return {
        "id": str(product_id),
        "podname": settings.pod_name,
        "clustername": settings.cluster_name,
        "reviews": reviews,
    }


async def reviews(request: web.Request) -> web.Response:
    """GET /reviews/<int>: always 200, whatever the ratings do."""
    settings = request.app[SETTINGS]
    product_id = int(request.match_info["id"])
    stars = None
    if settings.ratings_url is not None:
        found = await request.app[CLIENT].get_json(
            f"{settings.ratings_url}/ratings/{product_id}",
            passed_on(request.headers, (END_USER,)),
            settings.ratings_timeout_s,
        )
        ratings = found.body.get("ratings") if found.ok and isinstance(found.body, dict) else None
        stars = ratings if isinstance(ratings, dict) else None
    return web.json_response(answer(product_id, settings, stars))


async def health(request: web.Request) -> web.Response:
    """GET /health."""
    return web.json_response({"status": "Reviews is healthy"})


def make_app(env: Mapping[str, str]) -> web.Application:
    """The service as an aiohttp application, told by `env`."""
    return app_with(Settings.from_env(env))


def app_with(settings: Settings) -> web.Application:
    """The service with given settings."""
    app = web.Application()
    app[SETTINGS] = settings
    add_client(app)
    app.router.add_get(r"/reviews/{id:\d{1,18}}", reviews)
    app.router.add_get("/health", health)
    return app


def main(argv: list[str]) -> int:
    """Serve until a signal; returns the exit code."""
    return run("reviews", make_app, argv)
