"""Timeouts, retries, faults, and what upstreams do wrong."""

from __future__ import annotations

from typing import Any

from tests.e2e.splits import check_split
from tests.oracle.cases.changing import APP, REUSED, rule
from tests.oracle.play import Player
from tests.oracle.table import SUBSETS, V1, Case, ask, destination_rule, virtual_service

FAST = "backoff: 2ms"
#: The first attempt goes to any of two endpoints.
CHANCE = dict.fromkeys(("answers", "hits", "log"), "which endpoint is asked first is left to chance")
ONE_SHOT = destination_rule("{connectionPool: {http: {maxRequestsPerConnection: 1}}}")


def retries(retry_on: str, attempts: int = 2, more: str = "", to: str = APP) -> str:
    """No connection is used twice here, so that every broken one counts on both proxies."""
    return ONE_SHOT + rule(f"retries: {{attempts: {attempts}, retryOn: '{retry_on}', {FAST}{more}}}\n  {to}")


def aborted(share: float) -> Any:
    async def probe(player: Player) -> None:
        answers = await player.many(ask() for _ in range(400))
        found = [str(answer.status) for answer in answers]
        check_split({each: found.count(each) for each in set(found)}, {"418": share, "200": 1 - share})

    return probe


def delayed(share: float) -> Any:
    async def probe(player: Player) -> None:
        answers = await player.at_once(ask() for _ in range(120))
        slow = sum(answer.seconds > 0.3 for answer in answers)
        assert {answer.status for answer in answers} == {200}
        check_split({"slow": slow, "fast": 120 - slow}, {"slow": share, "fast": 1 - share})

    return probe


async def avoids_previous_host(player: Player) -> None:
    """One of two endpoints fails; a retry picks anew until it has the other, six times at most: 1 request of 128 fails
    all the same, and 1 of 4 where the first endpoint is not avoided."""
    answers = await player.many(ask(do="v1:status=503") for _ in range(100))
    assert {answer.status for answer in answers} <= {200, 503}
    assert sum(answer.status == 503 for answer in answers) <= 8


CASES = (
    Case("timeout", rule(f"timeout: 0.15s\n  {APP}"), (
        ask(do="delay=0.8", status=504, text="upstream request timeout", hits=1, within_s=(0.14, 0.5),
            log="504 UT response_timeout"),
        ask(do="delay=0.05"),
    )),
    Case("timeout-header-of-client", rule(f"timeout: 5s\n  {APP}"), (
        ask(do="delay=0.3", h={"x-envoy-upstream-rq-timeout-ms": "100"}, seen={"x-envoy-upstream-rq-timeout-ms": None}),
    )),
    Case("timeout-in-the-body", rule(f"timeout: 0.2s\n  {APP}"), (ask(do="slow=0.8", status=200),)),
    Case("no-timeout", rule(APP), (ask(do="delay=0.5", within_s=(0.45, 2)),)),
    Case("default-retries-503", ONE_SHOT, (ask(do="status=503", status=503, hits=1),)),
    Case("default-retries-reset-before-request", asks=(ask(host="dead:9000", status=503),)),
    Case("default-retries-reset", ONE_SHOT, (ask(do="close", status=503, hits=1, log="503 UC"),)),
    Case("retry-5xx", retries("5xx"), (
        ask(do="until=1 status=503", hits=2, seen={"x-envoy-attempt-count": "2"}, log="200 - via_upstream"),
        ask(do="status=500", status=500, hits=3, log="500 URX via_upstream"),
        ask(do="status=404", status=404, hits=1),
        ask(do="until=1 close", hits=2),
        ask(do="reset", status=503, hits=3),
        ask(method="POST", body=b"again", do="until=2 status=502", hits=3),
    )),
    Case("retry-gateway-error", retries("gateway-error"), (
        ask(do="until=2 status=502", hits=3), ask(do="status=500", status=500, hits=1),
        ask(do="status=504", status=504, hits=3), ask(do="close", status=503, hits=3),
    )),
    Case("retry-reset", retries("reset"), (
        ask(do="until=1 close", hits=2), ask(do="until=1 reset", hits=2), ask(do="status=503", status=503, hits=1),
        ask(do="until=1 garbage", status=None),
    )),
    Case("retry-connect-failure", virtual_service(
        f"- retries: {{attempts: 3, retryOn: connect-failure, {FAST}}}\n  route: [{{destination: {{host: half}}}}]",
        "half",
    ), tuple(ask(host="half:9000", by="half-alive", hits=1) for _ in range(4)),
        excused=CHANCE),
    Case("retry-no-connection", virtual_service(
        f"- retries: {{attempts: 2, retryOn: connect-failure, {FAST}}}\n  route: [{{destination: {{host: dead}}}}]",
        "dead",
    ), (ask(host="dead:9000", status=503, log="503 URX,UF upstream_reset_before_response_started"),)),
    Case("retry-retriable-4xx", retries("retriable-4xx"), (
        ask(do="until=1 status=409", hits=2), ask(do="status=404", status=404, hits=1),
    )),
    Case("retry-codes", retries("503,418"), (
        ask(do="until=1 status=418", hits=2), ask(do="until=2 status=503", hits=3),
        ask(do="status=500", status=500, hits=1),
    )),
    Case("retry-code-word", retries("retriable-status-codes,429"), (ask(do="until=1 status=429", hits=2),)),
    Case("retry-header", retries("retriable-headers"), (ask(do="status=503", status=503, hits=1),)),
    Case("retry-refused-stream", retries("refused-stream"), (ask(do="status=503", status=503, hits=1),)),
    Case("retry-grpc", retries("unavailable,cancelled"), (
        ask(h={"content-type": "application/grpc"}, do="until=1 add-grpc-status=14", hits=2),
        ask(h={"content-type": "application/grpc"}, do="add-grpc-status=13", hits=1),
    )),
    Case("retry-per-try-timeout", retries("5xx", 2, ", perTryTimeout: 300ms"), (
        ask(do="until=1 delay=1.5", hits=2, within_s=(0.29, 1.2)),
        ask(do="delay=1.5", status=504, hits=3, log="504 URX,UT"),
    )),
    Case("retry-within-timeout", ONE_SHOT + rule(
        f"timeout: 1s\n  retries: {{attempts: 5, perTryTimeout: 400ms, retryOn: 5xx, {FAST}}}\n  {APP}"
    ), (ask(do="delay=2", status=504, hits=3, within_s=(0.99, 1.6)),)),
    Case("retry-never", ONE_SHOT + rule("retries: {attempts: 0}\n  " + APP), (
        ask(do="status=503", status=503, hits=1), ask(do="close", status=503, hits=1),
    )),
    Case("retry-header-of-client", rule(APP) + ONE_SHOT, (
        ask(do="status=503", h={"x-envoy-retry-on": "5xx", "x-envoy-max-retries": "3"}, status=503, hits=1),
    )),
    Case("retry-avoids-previous-host", retries("5xx", 1), probe=avoids_previous_host),
    Case("retry-half-answer", retries("5xx,reset"), (
        ask(do="half", status=200, hits=1), ask(do="half chunked", status=200, hits=1),
    )),
    Case("closed-on-reuse", rule(f"retries: {{attempts: 0}}\n  {APP}"), (
        ask(), ask(), ask(do="close", status=503),
    ), excused={"hits": REUSED}),
    Case("fault-abort", rule(f"fault: {{abort: {{httpStatus: 418, percentage: {{value: 100}}}}}}\n  {APP}"), (
        ask(status=418, text="fault filter abort", hits=0, log="418 FI fault_filter_abort"),
        ask(status=418, method="HEAD", text=""),
    )),
    Case("fault-abort-share", rule(f"fault: {{abort: {{httpStatus: 418, percentage: {{value: 25}}}}}}\n  {APP}"),
         probe=aborted(0.25)),
    Case("fault-abort-fraction", rule(f"fault: {{abort: {{httpStatus: 418, percentage: {{value: 0.5}}}}}}\n  {APP}"),
         probe=aborted(0.005)),
    Case("fault-grpc", rule(f"fault: {{abort: {{grpcStatus: UNAVAILABLE, percentage: {{value: 100}}}}}}\n  {APP}"), (
        ask(h={"content-type": "application/grpc"}, status=200, gives={"grpc-status": "14"}, hits=0), ask(status=None),
    )),
    Case("fault-delay", rule(f"fault: {{delay: {{fixedDelay: 300ms, percentage: {{value: 100}}}}}}\n  {APP}"), (
        ask(within_s=(0.29, 0.8), log="200 DI via_upstream"),
    )),
    Case("fault-delay-share", rule(f"fault: {{delay: {{fixedDelay: 500ms, percentage: {{value: 40}}}}}}\n  {APP}"),
         probe=delayed(0.4)),
    Case("fault-delay-and-abort", rule(
        "fault: {delay: {fixedDelay: 200ms, percentage: {value: 100}}, abort: {httpStatus: 503,"
        f" percentage: {{value: 100}}}}}}\n  {APP}"
    ), (ask(status=503, within_s=(0.19, 0.7), log="503 DI,FI fault_filter_abort"),)),
    Case("fault-for-one-user", SUBSETS + virtual_service(
        "- match: [{headers: {x-user: {exact: jason}}}]\n"
        f"  fault: {{abort: {{httpStatus: 500, percentage: {{value: 100}}}}}}\n  {V1}\n- {V1}"
    ), (ask(h={"x-user": "jason"}, status=500), ask(by="v1"))),
    Case("fault-delay-and-timeout", rule(
        f"fault: {{delay: {{fixedDelay: 300ms, percentage: {{value: 100}}}}}}\n  timeout: 0.1s\n  {APP}"
    ), (ask(status=None, log="200 DI"),)),
    Case("upstream-garbage", retries("connect-failure"), (ask(do="garbage", status=502, log="502 UPE"),)),
)  # fmt: skip
