"""Mesh-wide settings: the fields of Istio's MeshConfig that translation reads, with Istio's defaults."""

from dataclasses import dataclass

# Istio's default text format (docs: "Envoy Access Logs"), one line a request.
ACCESS_LOG_FORMAT = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% '
    "%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "
    '"%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% '
    '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" '
    '"%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% '
    "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n"
)


@dataclass(frozen=True, slots=True)
class MeshConfig:
    """Fields of istio.mesh.v1alpha1.MeshConfig. Durations in seconds."""

    allow_any: bool = True  # outboundTrafficPolicy.mode ALLOW_ANY
    root_namespace: str = "istio-system"
    trust_domain: str = "cluster.local"
    domain_suffix: str = "cluster.local"
    cluster_id: str = "Kubernetes"
    connect_timeout_s: float = 10.0
    dns_refresh_rate_s: float = 60.0
    access_log_file: str = "/dev/stdout"
    access_log_format: str = ACCESS_LOG_FORMAT
    retry_on: str = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"
    retry_attempts: int = 2
    system_ca_file: str = "/etc/ssl/certs/ca-certificates.crt"  # what `caCertificates: system` means to proxies
