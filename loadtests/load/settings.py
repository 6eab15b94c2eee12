"""What a run is told: options as text into frozen settings, and settings through the environment to locust. Pure."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import ceil
from typing import Any

from loadtests.load.schedule import SHAPES, Schedule

SCENARIOS = ("browse", "api", "split", "mixed")
PREFIX = "LUGSAIL_LOAD_"
REQUEST_TIMEOUT_S = 15.0  # the product page gives up on its services long before
USERS_LIMIT, RATE_LIMIT_PER_S, TIME_LIMIT_S = 1000, 5000.0, 86400.0
USERS_WITHOUT_RATE = 10
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class BadSetting(ValueError):
    """An option's value is wrong; the message names the option, and what would be right."""


@dataclass(frozen=True, slots=True)
class Settings:
    """A run. `rate_per_s` 0: no given rate, each user thinks for think_low_s to think_high_s between requests."""

    url: str = "http://127.0.0.1:8080"
    users: int = USERS_WITHOUT_RATE
    rate_per_s: float = 0.0
    duration_s: float = 30.0
    scenario: str = "mixed"
    shape: str = "steady"
    user_name: str = ""
    seed: int = 0
    run_id: str = ""
    think_low_s: float = 0.5
    think_high_s: float = 1.5

    @property
    def schedule(self) -> Schedule | None:
        """The open model's, where a rate is given."""
        return Schedule(self.rate_per_s, self.duration_s, self.shape) if self.rate_per_s else None

    def environment(self) -> dict[str, str]:
        """The variables that say the same."""
        return {PREFIX + name.upper(): str(value) for name, value in asdict(self).items()}

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Settings:
        """The settings that the variables name, the rest as by default; raises BadSetting."""
        values: dict[str, Any] = {}
        for each in fields(cls):
            text = environ.get(PREFIX + each.name.upper())
            if text is None:
                continue
            try:
                values[each.name] = {"int": int, "float": float}.get(str(each.type), str)(text)
            except ValueError:
                raise BadSetting(f"{PREFIX}{each.name.upper()}={text}: expected a number") from None
        values.setdefault("run_id", new_run_id())
        return check(cls(**values))


def new_run_id() -> str:
    """Eight hexadecimal digits."""
    return secrets.token_hex(4)


def check(settings: Settings) -> Settings:
    """The settings themselves; raises BadSetting."""
    if settings.scenario not in SCENARIOS:
        raise BadSetting(f"--scenario {settings.scenario}: choose {', '.join(SCENARIOS)}")
    if settings.shape not in SHAPES:
        raise BadSetting(f"--shape {settings.shape}: choose {', '.join(SHAPES)}")
    if not 1 <= settings.users <= USERS_LIMIT:
        raise BadSetting(f"--users {settings.users}: from 1 to {USERS_LIMIT}")
    if not 0 <= settings.rate_per_s <= RATE_LIMIT_PER_S:
        raise BadSetting(f"--rate {settings.rate_per_s:g}: over 0 and at most {RATE_LIMIT_PER_S:g} requests per second")
    if not 0 < settings.duration_s <= TIME_LIMIT_S:
        raise BadSetting(f"--time: over 0 and at most {TIME_LIMIT_S / 3600:g}h")
    if not settings.url.startswith(("http://", "https://")) or not settings.url.partition("://")[2]:
        raise BadSetting(f"--url {settings.url}: expected http://HOST:PORT")
    if len(settings.user_name) > 64 or not settings.user_name.isprintable():
        raise BadSetting("--user-name: up to 64 printable characters")
    return settings


def users_for(rate_per_s: float) -> int:
    """How many users keep a rate while answers take a quarter of a second on average."""
    return max(USERS_WITHOUT_RATE, min(USERS_LIMIT, ceil(rate_per_s / 4)))


def duration_s(text: str) -> float:
    """`30s`, `1m30s`, `2h`, or plain seconds, as seconds; raises BadSetting."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise BadSetting(f"{text!r} is no duration; try 30s, 5m or 1h30m")
    return sum(float(number) * _UNIT_S[unit] for number, unit in parts)
