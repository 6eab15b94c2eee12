"""Gateway: the ports and hosts that a proxy at the edge opens (networking.istio.io)."""

from typing import Literal

from pydantic import Field

from lugsail.api.base import ApiModel, Resource
from lugsail.api.scalars import Bool, UInt32

TLSProtocol = Literal["TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"]


class Port(ApiModel):
    """A port that the gateway opens."""

    number: UInt32 = 0
    protocol: str = ""
    name: str = ""
    target_port: UInt32 = 0


class ServerTLSSettings(ApiModel):
    """TLS of a listening port, shared with Sidecar ingress."""

    https_redirect: Bool = False
    mode: Literal["PASSTHROUGH", "SIMPLE", "MUTUAL", "AUTO_PASSTHROUGH", "ISTIO_MUTUAL", "OPTIONAL_MUTUAL"] = (
        "PASSTHROUGH"
    )
    server_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""
    ca_crl: str = ""
    credential_name: str = ""
    credential_names: tuple[str, ...] = ()
    subject_alt_names: tuple[str, ...] = ()
    verify_certificate_spki: tuple[str, ...] = ()
    verify_certificate_hash: tuple[str, ...] = ()
    min_protocol_version: TLSProtocol = "TLS_AUTO"
    max_protocol_version: TLSProtocol = "TLS_AUTO"
    cipher_suites: tuple[str, ...] = ()


class Server(ApiModel):
    """One port with the hosts it serves: `host` or `namespace/host`."""

    port: Port | None = None
    bind: str = ""
    hosts: tuple[str, ...] = ()
    tls: ServerTLSSettings | None = None
    default_endpoint: str = ""
    name: str = ""


class GatewaySpec(ApiModel):
    """`selector`: the labels of the gateway workloads that open these servers."""

    selector: dict[str, str] = Field(default_factory=dict)
    servers: tuple[Server, ...] = ()


class Gateway(Resource):
    """Gateway."""

    spec: GatewaySpec
