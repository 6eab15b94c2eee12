"""Mesh-wide settings: the fields of Istio's MeshConfig that translation reads, with Istio's defaults."""

from dataclasses import dataclass

from lugsail.api.mesh_config import ExtensionProvider, MeshConfigSpec, kind_of
from lugsail.api.scalars import parse_duration

# Istio's default text format (docs: "Envoy Access Logs"), one line a request.
ACCESS_LOG_FORMAT = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% '
    "%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "
    '"%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% '
    '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" '
    '"%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% '
    "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n"
)

#: The provider that every mesh has: the mesh config's own access log.
BUILT_IN_LOG = "envoy"


@dataclass(frozen=True, eq=False, slots=True)
class Provider:
    """An extension provider by its name. `kind`: the JSON name of the one message that is given, "" when unknown."""

    name: str
    kind: str
    spec: ExtensionProvider


@dataclass(frozen=True, slots=True)
class MeshConfig:
    """Fields of istio.mesh.v1alpha1.MeshConfig. Durations in seconds, `tracing_sampling` in percent.

    What is not said by a file is what the lab wants: access logs on, which Istio's own default leaves off.
    """

    allow_any: bool = True  # outboundTrafficPolicy.mode ALLOW_ANY
    root_namespace: str = "istio-system"
    trust_domain: str = "cluster.local"
    domain_suffix: str = "cluster.local"
    cluster_id: str = "Kubernetes"
    connect_timeout_s: float = 10.0
    dns_refresh_rate_s: float = 60.0
    access_log_file: str = "/dev/stdout"
    access_log_format: str = ACCESS_LOG_FORMAT
    access_log_json: bool = False  # accessLogEncoding JSON
    providers: tuple[Provider, ...] = ()
    default_tracing: tuple[str, ...] = ()
    default_access_logging: tuple[str, ...] = ()
    tracing_sampling: float = 1.0
    access_log_service: bool = False  # enableEnvoyAccessLogService
    retry_on: str = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"
    retry_attempts: int = 2
    system_ca_file: str = "/etc/ssl/certs/ca-certificates.crt"  # what `caCertificates: system` means to proxies

    def provider(self, name: str) -> Provider | None:
        """The extension provider of that name."""
        return next((provider for provider in self.providers if provider.name == name), None)

    @property
    def access_log_providers(self) -> tuple[str, ...]:
        """Who logs where no Telemetry says otherwise."""
        if self.default_access_logging:
            return self.default_access_logging
        return (BUILT_IN_LOG,) if self.access_log_file else ()


def mesh_config_of(spec: MeshConfigSpec) -> MeshConfig:
    """What a mesh config file means; fields it leaves out have Istio's defaults."""
    known = MeshConfig()
    tracing = spec.default_config.tracing if spec.default_config is not None else None
    defaults = spec.default_providers
    retry = spec.default_http_retry_policy
    sampling = tracing.sampling if tracing is not None else None
    return MeshConfig(
        allow_any=spec.outbound_traffic_policy is None or spec.outbound_traffic_policy.mode == "ALLOW_ANY",
        root_namespace=spec.root_namespace,
        trust_domain=spec.trust_domain,
        connect_timeout_s=parse_duration(spec.connect_timeout) if spec.connect_timeout else known.connect_timeout_s,
        dns_refresh_rate_s=parse_duration(spec.dns_refresh_rate) if spec.dns_refresh_rate else known.dns_refresh_rate_s,
        access_log_file=spec.access_log_file,
        access_log_format=_log_format(spec),
        access_log_json=spec.access_log_encoding == "JSON",
        providers=tuple(Provider(each.name, kind_of(each), each) for each in spec.extension_providers),
        default_tracing=defaults.tracing if defaults is not None else (),
        default_access_logging=defaults.access_logging if defaults is not None else (),
        tracing_sampling=known.tracing_sampling if sampling is None else sampling,
        access_log_service=spec.enable_envoy_access_log_service,
        retry_on=retry.retry_on if retry is not None and retry.retry_on else known.retry_on,
        retry_attempts=retry.attempts if retry is not None else known.retry_attempts,
    )


def _log_format(spec: MeshConfigSpec) -> str:
    if spec.access_log_format:
        text = spec.access_log_format
        return text if spec.access_log_encoding == "JSON" or text.endswith("\n") else text + "\n"
    return "" if spec.access_log_encoding == "JSON" else ACCESS_LOG_FORMAT
