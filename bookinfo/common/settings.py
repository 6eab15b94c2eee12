"""Reads what the services are told by their environment. Pure: the environment arrives as an argument."""

from __future__ import annotations

from collections.abc import Mapping

DEFAULT_PORT = 9080


class InvalidSetting(ValueError):
    """An environment variable that cannot be used; the text names the variable, its value and what would be right."""


def is_on(env: Mapping[str, str], name: str) -> bool:
    """Whether a switch is set to `true` (any case), as Bookinfo's manifests write it."""
    return env.get(name, "").strip().lower() == "true"


def is_not_off(env: Mapping[str, str], name: str) -> bool:
    """Whether a switch that is on by itself is so: unset, empty or `true`. Raises InvalidSetting unless `false`."""
    text = env.get(name, "").strip().lower()
    if text not in ("", "true", "false"):
        raise InvalidSetting(f"{name}={env[name]!r}: want true or false")
    return text != "false"


def integer(env: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    """A whole number within [low, high]; unset or empty is the default. Raises InvalidSetting."""
    text = env.get(name, "").strip()
    if not text:
        return default
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise InvalidSetting(f"{name}={text!r}: want a whole number from {low} to {high}")
    return value


def port(env: Mapping[str, str], name: str, default: int = DEFAULT_PORT) -> int:
    """A TCP port; 0 asks the kernel for a free one."""
    return integer(env, name, default, 0, 65535)


def service_url(env: Mapping[str, str], service: str) -> str:
    """Base URL of a Bookinfo service, from `<SERVICE>_HOSTNAME`, `<SERVICE>_SERVICE_PORT` and `SERVICES_DOMAIN`.

    `service_url({}, "details")` is `http://details:9080`; SERVICES_DOMAIN=`shop.example` makes it
    `http://details.shop.example:9080`.
    """
    host = env.get(f"{service.upper()}_HOSTNAME") or service
    domain = env.get("SERVICES_DOMAIN", "")
    suffix = f".{domain}" if domain else ""
    return f"http://{host}{suffix}:{port(env, f'{service.upper()}_SERVICE_PORT')}"
