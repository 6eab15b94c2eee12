"""Reads `proxy.istio.io/config`: the part of Istio's ProxyConfig that injection acts on.

Source: istio.io/api mesh/v1alpha1/proxy.proto. Fields that Istio knows and this mesh has no use for are warned about;
fields that Istio does not know either are errors, as they are there.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controlplane.injector.annotations import VALUE_LIMIT, BadAnnotation, parse_choice, parse_switch
from lugsail.api.documents import parse_documents
from lugsail.api.errors import DocumentError, child_path

ANNOTATION = "proxy.istio.io/config"
CONCURRENCY_LIMIT = 64
INTERCEPTIONS = ("REDIRECT", "NONE")
_DNS_CAPTURE = "ISTIO_META_DNS_CAPTURE"
# Names with a dot are told apart from services by their automatic address: here that comes with DNS capture.
_DNS_AUTO_ALLOCATE = "ISTIO_META_DNS_AUTO_ALLOCATE"
_ACTED_ON = ("holdApplicationUntilProxyStarts", "concurrency", "interceptionMode", "proxyMetadata")
_WITHOUT_EFFECT = (
    *("availabilityZone", "binaryPath", "caCertificatesPem", "configPath", "connectTimeout", "controlPlaneAuthPolicy"),
    *("customConfigFile", "discoveryAddress", "drainDuration", "envoyAccessLogService", "envoyMetricsService"),
    *("extraStatTags", "fileFlushInterval", "fileFlushMinSizeKb", "gatewayTopology", "image", "meshId"),
    *("parentShutdownDuration", "privateKeyProvider", "proxyAdminPort", "proxyBootstrapTemplatePath", "proxyHeaders"),
    *("proxyStatsMatcher", "readinessProbe", "runtimeValues", "sds", "serviceCluster", "statNameLength"),
    *("statsCompression", "statsdUdpAddress", "statusPort", "terminationDrainDuration", "tracing"),
    *("tracingServiceName", "zipkinAddress"),
)


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """What the annotation asked for; None where it did not say."""

    hold_application_until_proxy_starts: bool | None = None
    concurrency: int | None = None
    interception: str | None = None
    dns_capture: bool | None = None
    warnings: tuple[str, ...] = ()


def parse_proxy_config(text: str, where: str) -> ProxyConfig:
    """YAML (or JSON) of a ProxyConfig. Raises BadAnnotation with the path inside."""
    fields = _mapping(text, where)
    warnings = [
        f"{where}: {ANNOTATION}: {name} has no effect here" for name in fields if _known(name, where) not in _ACTED_ON
    ]
    mode = fields.get("interceptionMode")
    metadata, ignored = _metadata(fields.get("proxyMetadata"), where)
    return ProxyConfig(
        hold_application_until_proxy_starts=_switch(fields, "holdApplicationUntilProxyStarts", where),
        concurrency=_concurrency(fields.get("concurrency"), where, warnings),
        interception=None if mode is None else parse_choice(str(mode), where, _at("interceptionMode"), INTERCEPTIONS),
        dns_capture=metadata.get(_DNS_CAPTURE),
        warnings=(*warnings, *ignored),
    )


def _mapping(text: str, where: str) -> Mapping[str, Any]:
    if len(text) > VALUE_LIMIT:
        raise BadAnnotation(where, ANNOTATION, text[:40], f"longer than {VALUE_LIMIT} characters")
    try:
        documents = parse_documents(text, ANNOTATION)
    except DocumentError as error:
        raise BadAnnotation(where, ANNOTATION, text, f"not YAML: {error}") from None
    if not documents:
        return {}
    if len(documents) > 1 or not isinstance(documents[0].data, dict):
        hint = "expected a mapping of ProxyConfig fields, such as `holdApplicationUntilProxyStarts: true`"
        raise BadAnnotation(where, ANNOTATION, text, hint)
    return documents[0].data


def _known(name: str, where: str) -> str:
    if name in _ACTED_ON or name in _WITHOUT_EFFECT:
        return name
    close = difflib.get_close_matches(name, (*_ACTED_ON, *_WITHOUT_EFFECT), 1)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(_ACTED_ON)}"
    raise BadAnnotation(where, ANNOTATION, name, f"there is no such field; {hint}")


def _at(path: str) -> str:
    return f"{ANNOTATION}: {path}"


def _switch(fields: Mapping[str, Any], name: str, where: str) -> bool | None:
    value = fields.get(name)
    if value is None or isinstance(value, bool):
        return value
    raise BadAnnotation(where, _at(name), value, "expected true or false")


def _concurrency(value: Any, where: str, warnings: list[str]) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= CONCURRENCY_LIMIT:
        raise BadAnnotation(where, _at("concurrency"), value, f"expected a whole number from 1 to {CONCURRENCY_LIMIT}")
    if value == 0:
        warnings.append(f"{where}: {_at('concurrency')}: 0 (a thread for each core) is taken as 1; write the number")
        return None
    return value


def _metadata(value: Any, where: str) -> tuple[dict[str, bool], list[str]]:
    """The switches of proxyMetadata by name, and a warning for each entry that nothing reads."""
    if value is None:
        return {}, []
    if not isinstance(value, dict):
        raise BadAnnotation(where, _at("proxyMetadata"), value, 'expected a mapping, such as {NAME: "value"}')
    found: dict[str, bool] = {}
    warnings = []
    for name, content in value.items():
        path = _at(child_path("proxyMetadata", name))
        if isinstance(content, dict | list) or content is None:
            raise BadAnnotation(where, path, content, 'expected text, such as "true"')
        if name in (_DNS_CAPTURE, _DNS_AUTO_ALLOCATE):
            text = str(content).lower() if isinstance(content, bool) else str(content)
            found[name] = parse_switch(text, where, path)
        else:
            warnings.append(f"{where}: {path} has no effect here")
    return found, warnings
