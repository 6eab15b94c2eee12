"""What is compared with what."""

from loadtests.telemetry_cost.states import CASES, PROXIES, STATES, Case
from sidecar.codec.headers import RequestHeaders
from sidecar.config.tracing import Sampling
from sidecar.telemetry.sampling import Reason, decide


def test_every_case_has_its_base_with_the_same_requests():
    for case in CASES:
        assert case.base != case and {case.proxy, case.base.proxy} <= set(PROXIES)
        assert case.base.headers == case.headers
        assert case.base.kind == case.kind


def test_a_trace_passed_on_is_not_sampled():
    name_and_value = (header.split(": ", 1) for header in Case("python", "log", passed_on=True).headers)
    request = RequestHeaders(b"GET", b"/", b"reviews:9080")
    for name, value in name_and_value:
        request.set(name.encode(), value.encode())
    one_percent = Sampling(client=(10_000, 10_000), random=(100, 10_000), overall=(10_000, 10_000))
    assert decide(request, one_percent, True, lambda: 0.0) is Reason.NOT_TRACEABLE


def test_a_trace_that_begins_here_has_no_context():
    assert not any(header.startswith(("traceparent", "x-b3", "x-request-id")) for header in CASES[1].headers)


def test_the_judged_state_and_its_base_log_alike():
    states = {state.name: state for state in STATES}
    assert states["log"].log and states["traced-1"].log
    assert not states["log"].metrics and states["traced-1"].metrics
    assert states["log"].sampling is None and states["traced-1"].sampling == 1
