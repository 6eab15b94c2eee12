"""A small client of the control plane's REST API: Kubernetes' paths, plain http.client, quick to import.

client = Client("http://127.20.0.1:8080")
client.get("networking.istio.io", "virtualservices", "default", "reviews")
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

API_VERSION = "v1"
REVISION_HEADER = "X-Lugsail-Revision"
TIMEOUT_S = 30.0

Resource = dict[str, Any]


class Unreachable(Exception):
    """Nothing answers at the control plane's address."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"No answer from the control plane at {url} ({reason}).")
        self.url = url


@dataclass
class ApiError(Exception):
    """The control plane refused. `causes` lists (field, message) of an invalid resource."""

    status: int
    message: str
    reason: str = ""
    causes: list[tuple[str, str]] = field(default_factory=list)

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True)
class Written:
    """A successful write: the resource as stored, and the store's revision with it."""

    resource: Resource
    revision: int


class Client:
    """One kept-alive connection; not for several threads. `url` is the control plane's, without a path."""

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S) -> None:
        self.url = url.rstrip("/")
        parts = urlsplit(self.url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=timeout_s)

    def close(self) -> None:
        self._connection.close()

    def get(self, group: str, plural: str, namespace: str, name: str) -> Resource | None:
        """The resource, or None."""
        try:
            resource: Resource = self._json("GET", _path(group, plural, namespace, name))[0]
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return resource

    def list(self, group: str, plural: str, namespace: str | None) -> Resource:
        """The list object (`items`, `metadata.resourceVersion`); all namespaces with None."""
        found: Resource = self._json("GET", _path(group, plural, namespace))[0]
        return found

    def create(self, group: str, plural: str, namespace: str, resource: Resource) -> Written:
        return self._write("POST", _path(group, plural, namespace), resource)

    def replace(self, group: str, plural: str, namespace: str, resource: Resource) -> Written:
        """PUT; with a resourceVersion in the metadata it is refused (409) when the stored one has moved on."""
        return self._write("PUT", _path(group, plural, namespace, resource["metadata"]["name"]), resource)

    def delete(self, group: str, plural: str, namespace: str, name: str) -> int | None:
        """The revision of the deletion; None when there was no such resource."""
        try:
            _, revision = self._json("DELETE", _path(group, plural, namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return revision

    def watch(self, group: str, plural: str, namespace: str | None, resource_version: str) -> Iterator[Resource]:
        """Events (`type`, `object`) after that version, for as long as the control plane answers."""
        query = urlencode({"watch": "1", "resourceVersion": resource_version})
        yield from self._lines(f"{_path(group, plural, namespace)}?{query}", None)

    def distribution(self, revision: int, timeout_s: float) -> Iterator[Resource]:
        """Who has acknowledged the revision: a first line, one per proxy as it is decided, a last line with `done`."""
        query = urlencode({"revision": revision, "timeout": f"{timeout_s:g}s"})
        yield from self._lines(f"/apis/lugsail.io/v1/distribution?{query}", timeout_s + 5.0)

    def debug(self, page: str) -> Any:
        """A /debug page as JSON."""
        return self._json("GET", f"/debug/{page}")[0]

    def workloads(self) -> Resource:
        """Who has which address: `items` with address, name, namespace, app, version."""
        found: Resource = self._json("GET", "/apis/lugsail.io/v1/workloads")[0]
        return found

    def is_ready(self) -> bool:
        try:
            return self._exchange("GET", "/ready", None)[0] == 200
        except Unreachable:
            return False

    def _write(self, method: str, path: str, resource: Resource) -> Written:
        stored, revision = self._json(method, path, resource)
        return Written(stored, revision or 0)

    def _json(self, method: str, path: str, body: Resource | None = None) -> tuple[Any, int | None]:
        status, headers, data = self._exchange(method, path, body)
        if status >= 400:
            raise _api_error(status, data)
        revision = headers.get(REVISION_HEADER)
        return (json.loads(data) if data else {}), (int(revision) if revision else None)

    def _exchange(self, method: str, path: str, body: Resource | None) -> tuple[int, http.client.HTTPMessage, bytes]:
        payload = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"} if payload is not None else {}
        was_open = self._connection.sock is not None
        try:
            self._connection.request(method, path, payload, headers)
            response = self._connection.getresponse()
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
            self._connection.close()
            if was_open:  # the kept-alive connection had been closed: once more on a new one
                return self._exchange(method, path, body)
            raise Unreachable(self.url, "it closed the connection") from error
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise Unreachable(self.url, str(getattr(error, "strerror", None) or error)) from error
        return response.status, response.headers, response.read()

    def _lines(self, path: str, timeout_s: float | None) -> Iterator[Resource]:
        """An NDJSON answer on a connection of its own, line by line; ends with the connection."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=timeout_s)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            if response.status >= 400:
                raise _api_error(response.status, response.read())
            while line := response.readline():
                if line.strip():
                    yield json.loads(line)
        except TimeoutError as error:
            raise Unreachable(self.url, "it did not answer in time") from error
        except (ConnectionError, http.client.HTTPException) as error:
            raise Unreachable(self.url, str(getattr(error, "strerror", None) or "the connection broke")) from error
        finally:
            connection.close()


def _path(group: str, plural: str, namespace: str | None, name: str | None = None) -> str:
    path = f"/apis/{group}/{API_VERSION}"
    if namespace is not None:
        path += f"/namespaces/{quote(namespace, safe='')}"
    path += f"/{plural}"
    return path if name is None else f"{path}/{quote(name, safe='')}"


def _api_error(status: int, data: bytes) -> ApiError:
    """From Kubernetes' Status object."""
    try:
        answer = json.loads(data)
        message = str(answer["message"])
    except (ValueError, KeyError, TypeError):
        return ApiError(status, f"The control plane answered {status}: {data.decode(errors='replace')[:500]}")
    causes = [
        (str(cause.get("field", "")), str(cause.get("message", "")))
        for cause in (answer.get("details") or {}).get("causes") or ()
    ]
    return ApiError(status, message, str(answer.get("reason", "")), causes)
