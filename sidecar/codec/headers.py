"""Header maps as the data path wants them: a dict from lower-case name to value, both bytes.

A name that occurs once costs one dict entry. A repeated name keeps its separate values in `multi` (they go out as
separate lines, which Set-Cookie needs, and matchers look at each) while the dict holds them joined by a comma, as
formatters print them. Pseudo-headers are slots: they are read for every request and are never sent as header lines.
"""

from __future__ import annotations

from collections.abc import Iterator


class Headers(dict[bytes, bytes]):
    """Lower-case header name → value. Writing with `h[name] = v` is only for names that cannot be repeated."""

    __slots__ = ("multi",)

    # dict.__init__ is never called: it does nothing without arguments, and one of these is made per message.
    def __init__(self) -> None:
        self.multi: dict[bytes, list[bytes]] | None = None

    def add(self, name: bytes, value: bytes) -> None:
        """Append one more line of this name, keeping those there are."""
        old = self.get(name)
        if old is None:
            self[name] = value
            return
        if self.multi is None:
            self.multi = {}
        self.multi.setdefault(name, [old]).append(value)
        self[name] = old + b"," + value

    def set(self, name: bytes, value: bytes) -> None:
        """Replace every line of this name by one."""
        if self.multi is not None:
            self.multi.pop(name, None)
        self[name] = value

    def remove(self, name: bytes) -> bytes | None:
        """Drop every line of this name; the joined old value, or None where there was none."""
        if self.multi is not None:
            self.multi.pop(name, None)
        return self.pop(name, None)

    def get_all(self, name: bytes) -> list[bytes]:
        """The values of each line of this name, in order of arrival."""
        if self.multi is not None and name in self.multi:
            return self.multi[name]
        value = self.get(name)
        return [] if value is None else [value]

    def lines(self) -> Iterator[tuple[bytes, bytes]]:
        """Every header line as it goes on the wire."""
        multi = self.multi
        for name, value in self.items():
            if multi is not None and name in multi:
                for one in multi[name]:
                    yield name, one
            else:
                yield name, value

    def lookup(self, name: bytes) -> bytes | None:
        """The value by name, pseudo-headers included; for matchers and formatters off the fast path."""
        return self.get(name)


class RequestHeaders(Headers):
    """A request head. `scheme` is what :scheme would say (b"http", b"https"); `authority` is the Host value."""

    __slots__ = ("authority", "method", "path", "scheme")

    def __init__(self, method: bytes, path: bytes, authority: bytes = b"", scheme: bytes = b"http") -> None:
        self.multi = None
        self.method = method
        self.path = path
        self.authority = authority
        self.scheme = scheme

    def clone(self) -> RequestHeaders:
        """A copy that can be changed on its own."""
        copy = RequestHeaders(self.method, self.path, self.authority, self.scheme)
        copy.update(self)
        if self.multi is not None:
            copy.multi = {name: list(values) for name, values in self.multi.items()}
        return copy

    def lookup(self, name: bytes) -> bytes | None:
        """As `Headers.lookup`, with :method, :path, :authority (or host) and :scheme."""
        if name[:1] == b":":
            return getattr(self, name[1:].decode("latin-1"), None) if name in _REQUEST_PSEUDO else None
        if name == b"host":
            return self.authority
        return self.get(name)


class ResponseHeaders(Headers):
    """A response's head; `status` is the code as a number."""

    __slots__ = ("status",)

    def __init__(self, status: int) -> None:
        self.multi = None
        self.status = status

    def lookup(self, name: bytes) -> bytes | None:
        """As `Headers.lookup`, with :status."""
        return b"%d" % self.status if name == b":status" else self.get(name)


_REQUEST_PSEUDO = frozenset((b":method", b":path", b":authority", b":scheme"))
