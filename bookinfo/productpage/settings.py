"""What the product page is told by its environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bookinfo.common.settings import integer, service_url

UPSTREAM_TIMEOUT_S = 3.0
FLOOD_LIMIT = 10_000
# The sign-in asks for no password, so the signature only keeps mangled cookies out; a known default lets replicas and
# restarted processes share sessions. SESSION_SECRET replaces it.
DEFAULT_SESSION_SECRET = "bookinfo"


@dataclass(frozen=True, slots=True)
class Settings:
    """Base URLs of the services, seconds to wait for each, extra review calls per page, and the cookie's key."""

    details_url: str = "http://details:9080"
    reviews_url: str = "http://reviews:9080"
    ratings_url: str = "http://ratings:9080"
    timeout_s: float = UPSTREAM_TIMEOUT_S
    flood_factor: int = 0
    session_secret: str = DEFAULT_SESSION_SECRET

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Reads the environment; raises InvalidSetting."""
        return cls(
            details_url=service_url(env, "details"),
            reviews_url=service_url(env, "reviews"),
            ratings_url=service_url(env, "ratings"),
            flood_factor=integer(env, "FLOOD_FACTOR", 0, 0, FLOOD_LIMIT),
            session_secret=env.get("SESSION_SECRET") or DEFAULT_SESSION_SECRET,
        )
