"""A stream as filters see it, without anything behind it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sidecar.codec.headers import RequestHeaders, ResponseHeaders
from sidecar.telemetry.stream_info import StreamInfo


class FakeStream:
    """`numbers` are what `random()` answers, in turn."""

    def __init__(
        self,
        request: RequestHeaders | None = None,
        settings: Mapping[str, Any] | None = None,
        numbers: Iterable[float] = (),
    ) -> None:
        self.request = request or RequestHeaders(b"GET", b"/", b"reviews:9080")
        self.response: ResponseHeaders | None = None
        self.info = StreamInfo(0.0, 0)
        self.filter_state: dict[str, Any] | None = None
        self._settings = settings or {}
        self._numbers = iter(numbers)

    def route_config(self, filter_name: str) -> Any:
        return self._settings.get(filter_name)

    def random(self) -> float:
        return next(self._numbers)
