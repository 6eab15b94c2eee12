"""What is compared: proxies that differ in their telemetry alone, and the requests they get."""

from __future__ import annotations

from dataclasses import dataclass

from loadtests.load_client import USUAL_HEADERS

KINDS = ("python", "envoy")
#: A request whose trace begins at the proxy: it decides.
FIRST = tuple(header for header in USUAL_HEADERS if not header.startswith("traceparent"))
#: A request that belongs to a trace which an earlier proxy has decided not to sample: most requests inside a mesh.
PASSED_ON = (
    *USUAL_HEADERS,
    "x-request-id: ffffffff-5a3b-4c1d-8e2f-0123456789ab",
    "x-b3-traceid: 0af7651916cd43dd8448eb211c80319c",
    "x-b3-spanid: b7ad6b7169203331",
    "x-b3-sampled: 0",
)


@dataclass(frozen=True, slots=True)
class State:
    """One configuration of a proxy. `sampling` in percent, None for no tracing; `provider` takes the spans."""

    name: str
    what: str
    log: bool
    metrics: bool
    sampling: float | None = None
    provider: str = ""


#: 1 % goes to the real service, 100 % to a sink: all spans of a busy proxy are more than one core of service takes,
#: and a proxy that drops spans would look cheaper than it is.
STATES = (
    State("nothing", "no access log, no metrics, no tracing", log=False, metrics=False),
    State("log", "access log alone", log=True, metrics=False),
    State("traced-1", "+ metrics + tracing at 1 %", log=True, metrics=True, sampling=1, provider="tracing"),
    State("metrics", "+ metrics", log=True, metrics=True),
    State("traced-100", "+ metrics + tracing at 100 %", log=True, metrics=True, sampling=100, provider="sink"),
)
BY_NAME = {state.name: state for state in STATES}
BASE, JUDGED = "log", "traced-1"


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table: a state of one kind of proxy under one kind of request."""

    kind: str
    state: str
    passed_on: bool = False

    @property
    def key(self) -> str:
        """Its name in the JSON."""
        return f"{self.kind} {self.state}{' passed on' if self.passed_on else ''}"

    @property
    def base(self) -> Case:
        """What it is compared with."""
        return Case(self.kind, BASE, self.passed_on)

    @property
    def proxy(self) -> str:
        """The proxy that it is measured on."""
        return f"{self.kind}-{self.state}"

    @property
    def headers(self) -> tuple[str, ...]:
        """Of every request."""
        return PASSED_ON if self.passed_on else FIRST


#: What is compared, each with its base.
CASES = tuple(
    case
    for kind in KINDS
    for case in (
        Case(kind, JUDGED, passed_on=True),
        *(Case(kind, state.name) for state in STATES if state.name != BASE),
    )
)
#: All that they run on.
PROXIES = tuple(Case(kind, state.name).proxy for kind in KINDS for state in STATES)
