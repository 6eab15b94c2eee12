"""Headers passed on."""

from multidict import CIMultiDict

from bookinfo.common.propagation import END_USER, PASSED_ON, passed_on


def test_passes_trace_and_identity_headers_and_nothing_else():
    incoming = CIMultiDict({name.title(): f"v-{name}" for name in PASSED_ON})
    incoming.update({"End-User": "mallory", "X-Other": "1", "Host": "h", "Content-Length": "3"})
    assert dict(passed_on(incoming)) == {name: f"v-{name}" for name in PASSED_ON}


def test_the_contracts_names_are_all_there():
    wanted = "x-request-id x-b3-traceid x-b3-spanid x-b3-parentspanid x-b3-sampled x-b3-flags b3 traceparent tracestate"
    wanted += " x-ot-span-context x-datadog-trace-id x-datadog-parent-id x-datadog-sampling-priority"
    wanted += " x-cloud-trace-context grpc-trace-bin sw8 user-agent cookie authorization jwt"
    assert set(PASSED_ON) == set(wanted.split())


def test_end_user_only_when_asked():
    incoming = CIMultiDict({"end-user": "jason"})
    assert END_USER not in passed_on(incoming)
    assert passed_on(incoming, (END_USER,))[END_USER] == "jason"
