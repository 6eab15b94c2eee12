from __future__ import annotations

from sidecar.config.endpoints import Endpoint
from sidecar.upstream.host import Host


def test_health_is_the_sum_of_its_causes() -> None:
    host = Host(Endpoint(address="10.0.0.1", port=80))
    for cause in ("ejected", "failed_health_check"):
        setattr(host, cause, True)
        host.refresh_health()
        assert not host.healthy
        setattr(host, cause, False)
        host.refresh_health()
        assert host.healthy
    host.update(Endpoint(address="10.0.0.1", port=80, health="draining", weight=5, hash_key="k"), None, 1)
    assert (host.healthy, host.weight, host.key, host.priority) == (False, 5, b"k", 1)
