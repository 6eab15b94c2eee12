"""The REST API of the resources: create, get, list, update, patch, delete. Bad input never changes the store.

Paths are Kubernetes': `/apis/GROUP/VERSION[/namespaces/NS]/PLURAL[/NAME]`. Every successful write answers with
`X-Lugsail-Revision`, which `/apis/lugsail.io/v1/distribution` takes.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from controlplane.apiserver import openapi
from controlplane.apiserver.errors import ApiError
from controlplane.apiserver.selectors import parse_selectors
from controlplane.apiserver.storage import SERVER_FIELDS, Store, Stored
from controlplane.apiserver.tables import table, wants_table
from controlplane.apiserver.watch import WatchLog, serve_watch
from lugsail.api.base import Resource, ResourceKey
from lugsail.api.documents import parse_documents
from lugsail.api.errors import DocumentError
from lugsail.api.kinds import KINDS, Kind
from lugsail.api.load import load_resource

BODY_LIMIT_BYTES = 3 * 1024 * 1024
REVISION_HEADER = "X-Lugsail-Revision"

_JSON = "application/json"
_YAML = ("application/yaml", "application/x-yaml", "text/yaml")
_MERGE_PATCH = "application/merge-patch+json"


class ResourceApi:
    """Handlers over one store."""

    def __init__(self, store: Store, watches: WatchLog) -> None:
        self._store = store
        self._watches = watches

    def routes(self) -> list[web.RouteDef]:
        """All routes. Register fixed paths below /apis before them."""
        of_kind = "/apis/{group}/{version}/{plural}"
        in_namespace = "/apis/{group}/{version}/namespaces/{namespace}/{plural}"
        one = in_namespace + "/{name}"
        return [
            web.get("/openapi/v3", self.openapi_index),
            web.get("/openapi/v3/apis/{group}/{version}", self.openapi_document),
            web.get("/apis", self.groups),
            web.get("/apis/{group}/{version}", self.kinds),
            web.get(of_kind, self.list),
            web.post(of_kind, self.create),
            web.get(in_namespace, self.list),
            web.post(in_namespace, self.create),
            web.get(one, self.get),
            web.put(one, self.update),
            web.patch(one, self.patch),
            web.delete(one, self.delete),
        ]

    # Reading

    async def get(self, request: web.Request) -> web.StreamResponse:
        """One resource."""
        kind, api_version = _kind(request)
        stored = self._find(request, kind)
        if wants_table(request.headers.get("Accept", "")):
            return web.json_response(table(kind.kind, [stored], stored.revision, datetime.now(UTC)))
        return web.json_response(_shown(stored, api_version))

    async def list(self, request: web.Request) -> web.StreamResponse:
        """A list, of one namespace or all; with `watch=1` a stream."""
        kind, api_version = _kind(request)
        namespace = request.match_info.get("namespace")
        matches = parse_selectors(request.query)
        items = [stored for stored in self._store.list(kind.kind, namespace) if matches(stored)]
        if request.query.get("watch", "") in ("1", "true"):
            return await serve_watch(
                request, self._watches, items, kind.kind, namespace, api_version, matches, self._store
            )
        if wants_table(request.headers.get("Accept", "")):
            return web.json_response(table(kind.kind, items, self._store.revision, datetime.now(UTC)))
        return web.json_response(
            {
                "kind": f"{kind.kind}List",
                "apiVersion": api_version,
                "metadata": {"resourceVersion": str(self._store.revision)},
                "items": [_shown(stored, api_version) for stored in items],
            }
        )

    # Writing

    async def create(self, request: web.Request) -> web.StreamResponse:
        """POST: 201, or 409 when the name is taken."""
        kind, api_version = _kind(request)
        resource, document = _checked(await _body(request), kind, request)
        if _is_dry(request):
            return web.json_response(document, status=201)
        stored = self._store.create(resource, document)
        return self._written(stored, api_version, 201)

    async def update(self, request: web.Request) -> web.StreamResponse:
        """PUT: replaces it, or creates it. With metadata.resourceVersion, only if it is still at that version."""
        kind, api_version = _kind(request)
        resource, document = _checked(await _body(request), kind, request)
        expected = _expected_revision(document)
        existing = self._store.get(resource.key)
        if existing is None and expected is not None:
            raise ApiError(409, f"{resource.key} is at no resourceVersion: it does not exist (any more)")
        if _is_dry(request):
            return web.json_response(document, status=200 if existing else 201)
        if existing is None:
            return self._written(self._store.create(resource, document), api_version, 201)
        return self._written(self._store.update(resource, document, expected), api_version, 200)

    async def patch(self, request: web.Request) -> web.StreamResponse:
        """PATCH with a JSON merge patch (RFC 7396)."""
        if request.content_type != _MERGE_PATCH:
            raise ApiError(415, f"PATCH takes {_MERGE_PATCH}, not {request.content_type}")
        kind, api_version = _kind(request)
        stored = self._find(request, kind)
        patch = _parse_json(await request.read())
        if not isinstance(patch, dict):
            raise ApiError(400, "the patch must be a JSON object")
        given = patch.get("metadata")
        expected = _expected_revision(patch) if isinstance(given, dict) else None
        resource, document = _checked(merge_patch(stored.to_dict(), patch), kind, request)
        if _is_dry(request):
            return web.json_response(document)
        return self._written(self._store.update(resource, document, expected), api_version, 200)

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """DELETE: a Status that says so, or 404."""
        kind, _ = _kind(request)
        stored = self._find(request, kind)
        if not _is_dry(request):
            stored = self._store.delete(stored.key)
        status = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "details": {"name": stored.key.name, "group": kind.group, "kind": kind.plural, "uid": stored.uid},
        }
        return web.json_response(status, headers={REVISION_HEADER: str(stored.revision)})

    # Discovery

    async def groups(self, _: web.Request) -> web.StreamResponse:
        """meta/v1 APIGroupList."""
        groups: dict[str, Kind] = {kind.group: kind for kind in KINDS.values()}
        items = []
        for group, kind in groups.items():
            versions = [{"groupVersion": f"{group}/{v}", "version": v} for v in kind.versions]
            items.append({"name": group, "versions": versions, "preferredVersion": versions[0]})
        return web.json_response({"kind": "APIGroupList", "apiVersion": "v1", "groups": items})

    async def kinds(self, request: web.Request) -> web.StreamResponse:
        """meta/v1 APIResourceList."""
        group, version = request.match_info["group"], request.match_info["version"]
        kinds = [kind for kind in KINDS.values() if kind.group == group and version in kind.versions]
        if not kinds:
            raise ApiError(404, f"there is no API {group}/{version}")
        resources = [
            {
                "name": kind.plural,
                "singularName": kind.singular,
                "namespaced": True,
                "kind": kind.kind,
                "shortNames": list(kind.short_names),
                "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"],
            }
            for kind in kinds
        ]
        body = {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": f"{group}/{version}",
            "resources": resources,
        }
        return web.json_response(body)

    async def openapi_index(self, _: web.Request) -> web.StreamResponse:
        """What documents there are."""
        return web.json_response(openapi.index())

    async def openapi_document(self, request: web.Request) -> web.StreamResponse:
        """The schema of one group and version."""
        found = openapi.document(request.match_info["group"], request.match_info["version"])
        if found is None:
            raise ApiError(404, f"nothing is served at {request.path}")
        return web.json_response(found)

    # Inside

    def _find(self, request: web.Request, kind: Kind) -> Stored:
        key = ResourceKey(kind.kind, request.match_info["namespace"], request.match_info["name"])
        stored = self._store.get(key)
        if stored is None:
            details = {"name": key.name, "group": kind.group, "kind": kind.plural}
            raise ApiError(404, f'{kind.plural}.{kind.group} "{key.name}" not found', details=details)
        return stored

    def _written(self, stored: Stored, api_version: str, status: int) -> web.Response:
        headers = {REVISION_HEADER: str(stored.revision)}
        return web.json_response(_shown(stored, api_version), status=status, headers=headers)


def _kind(request: web.Request) -> tuple[Kind, str]:
    info = request.match_info
    group, version, plural = info["group"], info["version"], info["plural"]
    for kind in KINDS.values():
        if kind.plural == plural and kind.group == group and version in kind.versions:
            return kind, f"{group}/{version}"
    known = ", ".join(f"{kind.plural}.{kind.group}" for kind in KINDS.values())
    raise ApiError(404, f"there is no resource {plural} in {group}/{version}; there are {known}")


def _shown(stored: Stored, api_version: str) -> dict[str, Any]:
    return {**stored.to_dict(), "apiVersion": api_version}


async def _body(request: web.Request) -> Any:
    # A content type that no HTML form can send: a page in a browser cannot write here behind its reader's back.
    if request.content_type == _JSON:
        return _parse_json(await request.read())
    if request.content_type in _YAML:
        try:
            documents = parse_documents(await request.read(), "body")
        except DocumentError as error:
            raise ApiError(400, str(error)) from None
        if len(documents) != 1:
            raise ApiError(400, f"the body must be one document, not {len(documents)}")
        return documents[0].data
    raise ApiError(415, f"Content-Type must be {_JSON} or {_YAML[0]}, not {request.content_type}")


def _parse_json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"the body is not JSON: {error or 'nested too deeply'}") from None


def _checked(data: Any, kind: Kind, request: web.Request) -> tuple[Resource, dict[str, Any]]:
    """The resource that the body describes, where the path says. Raises ApiError 400, InvalidResource."""
    if not isinstance(data, dict):
        raise ApiError(400, "the body must be a JSON object: a resource")
    if data.get("kind") != kind.kind:
        raise ApiError(400, f"kind is {data.get('kind')!r}, but the path is of {kind.kind}")
    metadata = data.get("metadata")
    if not isinstance(metadata, dict):
        raise ApiError(400, "metadata is missing; it must have a name")
    namespace = request.match_info.get("namespace") or metadata.get("namespace") or "default"
    given = metadata.get("namespace") or namespace
    if given != namespace:
        raise ApiError(400, f"metadata.namespace is {given!r}, but the path says {namespace!r}")
    name = request.match_info.get("name")
    if name is not None and metadata.setdefault("name", name) != name:
        raise ApiError(400, f"metadata.name is {metadata['name']!r}, but the path says {name!r}")
    document = {**data, "metadata": {**metadata, "namespace": namespace}}
    bare = {key: value for key, value in document["metadata"].items() if key not in SERVER_FIELDS}
    resource = load_resource({**document, "metadata": bare}, default_namespace=namespace)
    return resource, document


def _expected_revision(document: dict[str, Any]) -> int | None:
    text = document["metadata"].get("resourceVersion")
    if text in (None, ""):
        return None
    try:
        return int(text)
    except (TypeError, ValueError):
        raise ApiError(400, f"metadata.resourceVersion {text!r} is not one of this server's") from None


def _is_dry(request: web.Request) -> bool:
    return request.query.get("dryRun") == "All"


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7396, section 2: null removes, objects merge, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged
