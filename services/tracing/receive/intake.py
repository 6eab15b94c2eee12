"""What all receivers share: read a body, queue its spans, wait until they are committed, count."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from services.tracing.decode.batch import BadSpans, Batch
from services.tracing.metrics import TracingMetrics
from services.tracing.store.writer import Refused, Writer

BODY_LIMIT_BYTES = 16 << 20  # of one request, after decompression
RETRY_AFTER_S = 1
#: Requests that wait at one time; what comes on top is told to come again. Their bytes are bounded by the queue's size.
#: An Envoy sends five spans at a time, on as many connections as that takes, and drops what is refused: a mesh of them
#: has hundreds of small requests under way when this process does not get the processor for a second.
CONCURRENT = 1024


class Intake:
    """Takes bodies of spans. One for the whole process."""

    def __init__(self, writer: Writer, metrics: TracingMetrics) -> None:
        self._writer = writer
        self._metrics = metrics
        self._under_way = 0

    async def take(self, protocol: str, body: bytes, decode: Callable[[bytes], Batch]) -> Batch:
        """Returns when every valid span is committed. Raises BadSpans, Refused."""
        if self._under_way >= CONCURRENT:
            self._metrics.refused(protocol, "refused")
            raise Refused(f"{CONCURRENT} requests are under way")
        self._under_way += 1
        try:
            self._writer.admit(len(body))
            batch = decode(body)
            self._metrics.received(protocol, batch.spans + batch.rejected, batch.rejected, len(body))
            if batch.spans:
                # Not tied to the connection: what is queued is committed, whether or not somebody waits for it.
                await asyncio.shield(self._writer.submit(batch))
            return batch
        except BadSpans:
            self._metrics.refused(protocol, "invalid")
            raise
        except Refused:
            self._metrics.refused(protocol, "refused")
            raise
        finally:
            self._under_way -= 1

    def too_large(self, protocol: str) -> None:
        """A body was not read to its end."""
        self._metrics.refused(protocol, "too-large")

    def invalid(self, protocol: str) -> None:
        """A body could not be read."""
        self._metrics.refused(protocol, "invalid")
