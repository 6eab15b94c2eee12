"""The other end of one stream, played by hand, and the mesh that it is served."""

import asyncio
from types import SimpleNamespace

from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DiscoveryRequest
from google.rpc.status_pb2 import Status

from controlplane.xds.codec import SotwCodec
from controlplane.xds.connection import Connection, Push
from controlplane.xds.observer import XdsObserver
from controlplane.xds.references import ReferenceCache
from controlplane.xds.status import StatusBoard
from controlplane.xds.type_urls import CDS, EDS, LDS, PUSH_ORDER, RDS, short_name
from tests.controlplane.xds.fakes import FakeMesh, FakeTranslator, name_in

MESH = FakeMesh(
    clusters={"v1": "1", "v2": "1"},
    endpoints={"v1": "1", "v2": "1"},
    listeners={"out": "web"},
    routes={"web": "to v1 and v2"},
)
ALL = frozenset(PUSH_ORDER)


class Peer:
    """The other end: plays a proxy by hand."""

    def __init__(self, codec=None, mesh: FakeMesh = MESH) -> None:
        self.codec = codec or SotwCodec()
        self.board = StatusBoard(lambda: 0.0, lambda: 0.0)
        self.status = self.board.connect("c1", "p.default", "sidecar", "1.1.1.1", self.codec.name, "peer")
        self.translator = FakeTranslator()
        self.responses: list = []
        self.blocked: asyncio.Event | None = None
        self.revision = 1
        self.connection = Connection(
            SimpleNamespace(id="p.default"),
            self.codec,
            self.translator,
            Push(mesh, 1, ALL, 0.0, 0.0),
            self.status,
            XdsObserver(),
            ReferenceCache(),
            lambda: 0.0,
            self._write,
        )

    async def _write(self, response) -> None:
        self.responses.append(response)
        if self.blocked is not None:
            await self.blocked.wait()

    def push(self, mesh: FakeMesh, types=ALL) -> None:
        self.revision += 1
        self.connection.push(Push(mesh, self.revision, frozenset(types), 0.0, 0.0))

    async def request(self, type_url: str, *names: str, nonce: str = "", error: str = "", **delta) -> None:
        detail = Status(message=error) if error else None
        if self.codec.delta:
            request = DeltaDiscoveryRequest(
                type_url=type_url, resource_names_subscribe=names, response_nonce=nonce, error_detail=detail, **delta
            )
        else:
            request = DiscoveryRequest(
                type_url=type_url, resource_names=names, response_nonce=nonce, error_detail=detail
            )
        await self.connection.feed(request)

    async def settle(self) -> list:
        """Let the worker do all it can; the responses since the last call."""
        for _ in range(20):
            await asyncio.sleep(0)
        taken, self.responses = self.responses, []
        return taken

    async def ack(self, responses, error: str = "") -> None:
        for response in responses:
            sub = self.connection.subscriptions[response.type_url]
            names = () if self.codec.delta else sorted(sub.names)
            await self.request(response.type_url, *names, nonce=response.nonce, error=error)

    async def take(self) -> None:
        """Acknowledge all that comes now, and let the worker go on."""
        await self.ack(await self.settle())
        await self.settle()

    async def ask_also(self, type_url: str, name: str) -> None:
        """Subscribe to one more name."""
        sub = self.connection.subscriptions[type_url]
        if self.codec.delta:
            await self.request(type_url, name)
        else:
            await self.request(type_url, *sorted(sub.names | {name}), nonce=sub.nonce_sent)

    async def boot(self) -> None:
        """Subscribe to everything and acknowledge it."""
        for type_url, names in ((CDS, ()), (EDS, ("v1", "v2")), (LDS, ()), (RDS, ("web",))):
            await self.request(type_url, *names)
            await self.ack(await self.settle())
        await self.settle()


def shown(responses) -> list[tuple[str, list[str]]]:
    """Type and names of each response."""
    out = []
    for response in responses:
        names = [getattr(r, "name", "") or name_in(r) for r in response.resources]
        out.append((short_name(response.type_url), sorted(names)))
    return out


def replaced(**changes) -> FakeMesh:
    return FakeMesh(**{**MESH.__dict__, **changes})
