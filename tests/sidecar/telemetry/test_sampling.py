from __future__ import annotations

import pytest

from sidecar.codec.headers import RequestHeaders
from sidecar.config.tracing import Sampling
from sidecar.telemetry.sampling import Reason, decide, pack_reason


def request(request_id: str | None, **headers: str) -> RequestHeaders:
    made = RequestHeaders(b"GET", b"/", b"app")
    if request_id is not None:
        made[b"x-request-id"] = request_id.encode()
    for name, value in headers.items():
        made[name.replace("_", "-").encode()] = value.encode()
    return made


def uuid(number: int, digit: str = "4") -> str:
    return f"{number:08x}-2222-{digit}333-8444-555555555555"


@pytest.mark.parametrize(("number", "sampled"), [(0, True), (99, True), (100, False), (9_999, False), (10_050, True)])
def test_the_id_decides(number: int, sampled: bool) -> None:
    """1 %: the first 8 digits, modulo 10,000, below 100."""
    head = request(uuid(number))
    reason = decide(head, Sampling(random=(100, 10_000)), True, lambda: 0.0)
    assert reason is (Reason.SAMPLING if sampled else Reason.NOT_TRACEABLE)
    assert head[b"x-request-id"][14:15] == (b"9" if sampled else b"4")


@pytest.mark.parametrize(
    ("digit", "reason"), [("9", Reason.SAMPLING), ("a", Reason.SERVICE_FORCED), ("b", Reason.CLIENT_FORCED)]
)
def test_an_earlier_decision_is_followed(digit: str, reason: Reason) -> None:
    head = request(uuid(5_000, digit))
    assert decide(head, Sampling(random=(0, 10_000)), True, lambda: 0.0) is reason
    assert head[b"x-request-id"] == uuid(5_000, digit).encode()


def test_the_overall_limit_takes_it_back() -> None:
    head = request(uuid(5_000, "9"))
    assert decide(head, Sampling(overall=(0, 10_000)), True, lambda: 0.0) is Reason.NOT_TRACEABLE
    assert head[b"x-request-id"] == uuid(5_000, "4").encode()


def test_clients_may_ask() -> None:
    sampling = Sampling(client=(50, 100), random=(0, 10_000))
    assert decide(request(uuid(1), x_client_trace_id="a"), sampling, True, lambda: 0.49) is Reason.CLIENT_FORCED
    assert decide(request(uuid(1), x_client_trace_id="a"), sampling, True, lambda: 0.999) is Reason.NOT_TRACEABLE
    assert decide(request(uuid(1), x_envoy_force_trace="1"), sampling, True, lambda: 0.0) is Reason.SERVICE_FORCED


@pytest.mark.parametrize("request_id", [None, "", "12", "zz111111-2222-9333-8444-555555555555"])
def test_ids_without_a_number_are_not_traced(request_id: str | None) -> None:
    assert decide(request(request_id), Sampling(), True, lambda: 0.0) is Reason.NOT_TRACEABLE


def test_only_uuids_are_written_to() -> None:
    head = request("1234567890")
    assert decide(head, Sampling(), True, lambda: 0.0) is Reason.SAMPLING
    assert head[b"x-request-id"] == b"1234567890"
    plain = request(uuid(1))
    assert decide(plain, Sampling(), False, lambda: 0.0) is Reason.SAMPLING
    assert plain[b"x-request-id"] == uuid(1).encode()
    pack_reason(plain, Reason.CLIENT_FORCED)
    assert plain[b"x-request-id"] == uuid(1, "b").encode()
