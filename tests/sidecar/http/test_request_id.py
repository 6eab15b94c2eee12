"""Request ids are UUIDs, version 4, and all different."""

from __future__ import annotations

import uuid

from sidecar.http.request_id import RequestIds


def test_ids() -> None:
    ids = RequestIds()
    seen = {ids.next() for _ in range(2000)}
    assert len(seen) == 2000
    for one in list(seen)[:300]:
        parsed = uuid.UUID(one.decode())
        assert parsed.version == 4
        assert parsed.variant == uuid.RFC_4122
        assert str(parsed).encode() == one
