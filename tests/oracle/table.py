"""What a case of the table is: YAML, requests, and what the answers have to be beyond being the same."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.oracle.client import Answer, Headers

if TYPE_CHECKING:
    from tests.oracle.play import Player

#: Where requests enter: the sidecar's HTTP proxy port, or a gateway's port.
SIDECAR, GATEWAY = "sidecar", "gateway"


@dataclass(frozen=True)
class Ask:
    """One request and what is known about its answer; None leaves that to the comparison of the two proxies.

    `by` is the backend that answers, `line` the request line it saw, `seen` headers it saw (None: not there), `gives`
    headers of the answer, `hits` how many requests reached any backend for this one, `log` the start of
    "CODE FLAGS DETAILS" in the access log, `within_s` the least and most seconds that the answer takes.
    """

    url: str
    method: str = "GET"
    headers: Headers = ()
    body: bytes = b""
    do: str = ""
    raw: bytes | None = None
    status: int | None = 200
    by: str | None = None
    line: str | None = None
    text: str | None = None
    seen: Mapping[str, str | None] = field(default_factory=dict)
    gives: Mapping[str, str | None] = field(default_factory=dict)
    hits: int | None = None
    log: str | None = None
    within_s: tuple[float, float] | None = None
    protocol: str = "HTTP/1.1"
    port: int = 8080

    def head(self, agent: str, via: str) -> bytes:
        """The request as bytes: absolute-form to the sidecar, origin-form to a gateway."""
        rest = self.url.partition("://")[2]
        host, slash, path = rest.partition("/")
        target = slash + path or "/"
        if via == SIDECAR:
            target = self.url
        lines = [f"{self.method} {target} {self.protocol}", f"host: {host}", f"user-agent: {agent}"]
        lines += [f"x-do: {self.do}"] if self.do else []
        lines += [f"{name}: {value}" for name, value in self.headers]
        named = {name.lower() for name, _ in self.headers}
        if self.body and not named & {"content-length", "transfer-encoding"}:
            lines.append(f"content-length: {len(self.body)}")
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


Probe = Callable[["Player"], Awaitable[Any]]


@dataclass(frozen=True)
class Case:
    """YAML applied alone, then `asks` in turn, or a `probe` whose results must be the same.

    `excused` says what may differ and why: a part of the comparison ("answers", "hits", "log") to its reason.
    """

    name: str
    yaml: str = ""
    asks: tuple[Ask, ...] = ()
    probe: Probe | None = None
    via: str = SIDECAR
    excused: Mapping[str, str] = field(default_factory=dict)


def ask(path: str = "/", host: str = "app:9000", **more: Any) -> Ask:
    """A request to a service; `h` are its headers."""
    return Ask(f"http://{host}{path}", headers=tuple(more.pop("h", {}).items()), **more)


def virtual_service(http: str, hosts: str = "app", name: str = "app", more: str = "") -> str:
    """A VirtualService whose `http` rules are given as YAML, one list item after the other."""
    body = "\n".join("  " + line for line in http.strip("\n").splitlines())
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}}}
spec:
  hosts: [{hosts}]
  {more}
  http:
{body}
---
"""


def destination_rule(policy: str = "", host: str = "app", subsets: str = "v1, v2", name: str = "") -> str:
    """A DestinationRule with subsets by version."""
    made = ", ".join(f"{{name: {each}, labels: {{version: {each}}}}}" for each in subsets.split(", ") if each)
    return f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name or host}}}
spec: {{host: {host}, {f"trafficPolicy: {policy}, " if policy else ""}subsets: [{made}]}}
---
"""


SUBSETS = destination_rule()
V1 = "route: [{destination: {host: app, subset: v1}}]"
V2 = "route: [{destination: {host: app, subset: v2}}]"


def echo_of(answer: Answer) -> dict[str, Any] | None:
    """What the backend saw, when the body is a backend's echo."""
    if not answer.body.startswith(b'{"by"'):
        return None
    try:
        found = json.loads(answer.body)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
