"""The client's half of state-of-the-world xDS for one resource type, as a state machine without a stream.

Each method answers the DiscoveryRequest that is due, or None. Rules (xDS protocol, "How the client specifies what
resources to return", "ACK/NACK"): a request repeats the newest accepted version and the newest nonce of its stream; a
NACK keeps the accepted version and says why; a new stream starts without a nonce but with the version still held.
"""

from __future__ import annotations

from collections.abc import Iterable

from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest

#: google.rpc.Code.INVALID_ARGUMENT
_INVALID_ARGUMENT = 3
#: gRPC servers bound what they take in; a NACK that lists hundreds of resources is cut.
MAX_ERROR_CHARS = 8 * 1024


class Subscription:
    """What one client wants of one type, and how far it got. A wildcard subscription names nothing and gets all."""

    def __init__(self, type_url: str, wildcard: bool) -> None:
        self.type_url = type_url
        self.wildcard = wildcard
        self.version = ""
        self.nonce = ""
        self.names: frozenset[str] = frozenset()
        self._asked = False

    def start(self) -> DiscoveryRequest | None:
        """A new stream: the first request, or None while there is nothing to ask for."""
        self.nonce = ""
        self._asked = False
        if self.wildcard or self.names:
            return self._request()
        return None

    def watch(self, names: Iterable[str]) -> DiscoveryRequest | None:
        """Want exactly these resources from now on; None where that is no change.

        An empty set unsubscribes, which needs saying only to a server that was asked before.
        """
        wanted = frozenset(names)
        if self.wildcard:
            raise ValueError(f"{self.type_url} is subscribed by wildcard: it has no names to watch")
        if wanted == self.names:
            return None
        self.names = wanted
        return self._request() if wanted or self._asked else None

    def ack(self, version: str, nonce: str) -> DiscoveryRequest:
        """The response of this nonce is applied whole."""
        self.version = version
        self.nonce = nonce
        return self._request()

    def nack(self, nonce: str, message: str) -> DiscoveryRequest:
        """The response of this nonce holds something that can not be honoured."""
        self.nonce = nonce
        request = self._request()
        request.error_detail.code = _INVALID_ARGUMENT
        if len(message) > MAX_ERROR_CHARS:
            message = message[:MAX_ERROR_CHARS] + " … (cut)"
        request.error_detail.message = message
        return request

    def _request(self) -> DiscoveryRequest:
        self._asked = True
        return DiscoveryRequest(
            type_url=self.type_url,
            version_info=self.version,
            response_nonce=self.nonce,
            resource_names=sorted(self.names),
        )
