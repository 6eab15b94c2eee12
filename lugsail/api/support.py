"""What of each field this mesh honours: supported, by the stock Envoy alone, ignored with a warning, or rejected.

The table names every field of every message below `spec`, once per message; a test fails while a field has no mark or
a mark has no field. docs/reference/istio-fields.md is generated from it. Where a whole message is ignored, the mark of
the field that holds it says so and its own fields are not warned about one by one.
"""

from dataclasses import dataclass, field
from typing import Literal

from lugsail.api import destination_rule as dr
from lugsail.api import envoy_filter as ef
from lugsail.api import gateway as gw
from lugsail.api import service_entry as se
from lugsail.api import sidecar as sc
from lugsail.api import telemetry as te
from lugsail.api import virtual_service as vs
from lugsail.api import workload_entry as we
from lugsail.api.base import ApiModel, LabelSelector, MatchLabelsSelector, PolicyTargetReference

#: "envoy": the control plane translates it and the stock Envoy does it, but the Python sidecar ignores or refuses it.
State = Literal["supported", "envoy", "ignored", "rejected"]


@dataclass(frozen=True)
class Mark:
    """`reason`: why it is ignored or rejected, or what the Python sidecar does where only the stock Envoy does it.

    `replacement`: the field is deprecated in favour of this one. `ignored_values` and `envoy_values`: values of a
    supported field that have no effect, or act on the stock Envoy only, with the reason.
    """

    state: State = "supported"
    reason: str = ""
    replacement: str = ""
    ignored_values: dict[str, str] = field(default_factory=dict)
    envoy_values: dict[str, str] = field(default_factory=dict)


Marks = dict[str, Mark]

PYTHON_REFUSES = "the Python sidecar refuses a cluster that has it"
PYTHON_REFUSES_HTTP2 = "the Python sidecar speaks HTTP/1.1 only, and answers 502 UPE for a cluster of HTTP/2"
PYTHON_LISTENS_HTTP1 = "the Python sidecar takes HTTP/1.1 only on the port"
NO_SLOW_START = "the Python sidecar gives a new endpoint its full share at once"
MUTUAL_LATER = "the mesh issues no certificates yet: mutual TLS comes later, and traffic stays plain text"
CERTIFICATES_LATER = "the mesh issues and fetches no certificates yet"
NOT_APPLIED = "patches of it are not applied yet"
ISTIO_NEITHER = "Istio does not implement it either"
WAYPOINTS = "it is for waypoints, which this mesh has not"
STANDARD_METRICS = "proxies count Istio's standard metrics with all their labels, no more and no fewer"


def _supported(names: str) -> Marks:
    return {name: Mark() for name in names.split()}


def _envoy(reason: str, names: str) -> Marks:
    return {name: Mark("envoy", reason) for name in names.split()}


def _ignored(reason: str, names: str) -> Marks:
    return {name: Mark("ignored", reason) for name in names.split()}


def _rejected(reason: str, names: str) -> Marks:
    return {name: Mark("rejected", reason) for name in names.split()}


def _deprecated(name: str, replacement: str) -> Marks:
    return {name: Mark(replacement=replacement)}


def _values(name: str, ignored: dict[str, str]) -> Marks:
    return {name: Mark(ignored_values=ignored)}


def _envoy_values(name: str, reason: str, values: str) -> Marks:
    return {name: Mark(envoy_values=dict.fromkeys(values.split(), reason))}


_VIRTUAL_SERVICE: dict[type[ApiModel], Marks] = {
    vs.VirtualServiceSpec: _supported("hosts gateways http tls tcp exportTo"),
    vs.HTTPRoute: _supported(
        "name match route redirect directResponse delegate rewrite timeout retries fault mirror mirrors"
        " mirrorPercentage corsPolicy headers"
    )
    | _deprecated("mirrorPercent", "mirrorPercentage"),
    vs.HTTPMatchRequest: _supported(
        "name uri scheme method authority headers port sourceLabels gateways queryParams ignoreUriCase"
        " withoutHeaders sourceNamespace"
    )
    | _envoy("the Python sidecar keeps no statistics of single routes", "statPrefix"),
    vs.StringMatch: _supported("exact prefix regex"),
    vs.HTTPRouteDestination: _supported("destination weight headers"),
    vs.Destination: _supported("host subset port"),
    vs.PortSelector: _supported("number"),
    vs.Headers: _supported("request response"),
    vs.HeaderOperations: _supported("set add remove"),
    vs.HTTPRedirect: _supported("uri authority port derivePort scheme redirectCode"),
    vs.HTTPDirectResponse: _supported("status body"),
    vs.HTTPBody: _supported("string bytes"),
    vs.Delegate: _supported("name namespace"),
    vs.HTTPRewrite: _supported("uri authority uriRegexRewrite"),
    vs.RegexRewrite: _supported("match rewrite"),
    vs.HTTPRetry: _supported("attempts perTryTimeout retryOn retryRemoteLocalities retryIgnorePreviousHosts backoff"),
    vs.HTTPFaultInjection: _supported("delay abort"),
    vs.FaultDelay: _supported("fixedDelay percentage")
    | _deprecated("percent", "percentage")
    | _rejected(ISTIO_NEITHER, "exponentialDelay"),
    vs.FaultAbort: _supported("httpStatus grpcStatus percentage") | _rejected(ISTIO_NEITHER, "http2Error"),
    vs.Percent: _supported("value"),
    vs.HTTPMirrorPolicy: _supported("destination percentage"),
    vs.CorsPolicy: _supported(
        "allowOrigins allowMethods allowHeaders exposeHeaders maxAge allowCredentials unmatchedPreflights"
    )
    | _deprecated("allowOrigin", "allowOrigins"),
    vs.TLSRoute: _supported("match route"),
    vs.TLSMatchAttributes: _supported("sniHosts destinationSubnets port sourceLabels gateways sourceNamespace"),
    vs.TCPRoute: _supported("match route"),
    vs.L4MatchAttributes: _supported("destinationSubnets port sourceLabels gateways sourceNamespace")
    | _ignored(ISTIO_NEITHER, "sourceSubnet"),
    vs.RouteDestination: _supported("destination weight"),
}

_DESTINATION_RULE: dict[type[ApiModel], Marks] = {
    dr.DestinationRuleSpec: _supported("host trafficPolicy subsets exportTo workloadSelector"),
    MatchLabelsSelector: _supported("matchLabels"),
    dr.Subset: _supported("name labels trafficPolicy"),
    dr.TrafficPolicy: _supported("loadBalancer connectionPool outlierDetection tls portLevelSettings retryBudget")
    | _envoy(PYTHON_REFUSES, "proxyProtocol")
    | _ignored("tunnels through HTTP proxies are not built yet", "tunnel"),
    dr.PortTrafficPolicy: _supported("port loadBalancer connectionPool outlierDetection tls"),
    dr.LoadBalancerSettings: _supported("simple consistentHash localityLbSetting")
    | _envoy(NO_SLOW_START, "warmup")
    | {"warmupDurationSecs": Mark("envoy", NO_SLOW_START, replacement="warmup.duration")},
    dr.ConsistentHash: _supported("httpHeaderName httpCookie useSourceIp httpQueryParameterName ringHash maglev")
    | _deprecated("minimumRingSize", "ringHash.minimumRingSize"),
    dr.HTTPCookie: _supported("name path ttl attributes"),
    dr.HTTPCookieAttribute: _supported("name value"),
    dr.RingHash: _supported("minimumRingSize"),
    dr.MagLev: _supported("tableSize"),
    dr.LocalityLbSetting: _supported("distribute failover failoverPriority enabled"),
    dr.LocalityDistribute: _supported("from to"),
    dr.LocalityFailover: _supported("from to"),
    dr.WarmupConfiguration: _envoy(NO_SLOW_START, "duration minimumPercent aggression"),
    dr.ConnectionPoolSettings: _supported("tcp http"),
    dr.TCPSettings: _supported("maxConnections connectTimeout tcpKeepalive maxConnectionDuration idleTimeout"),
    dr.TcpKeepalive: _supported("probes time interval"),
    dr.HTTPSettings: _supported(
        "http1MaxPendingRequests http2MaxRequests maxRequestsPerConnection maxRetries idleTimeout useClientProtocol"
    )
    | _envoy_values("h2UpgradePolicy", PYTHON_REFUSES_HTTP2, "UPGRADE")
    | _envoy("HTTP/2 alone has streams, and the Python sidecar speaks HTTP/1.1", "maxConcurrentStreams"),
    dr.OutlierDetection: _supported(
        "splitExternalLocalOriginErrors consecutiveLocalOriginFailures consecutiveGatewayErrors consecutive5xxErrors"
        " interval baseEjectionTime maxEjectionPercent minHealthPercent"
    )
    | _deprecated("consecutiveErrors", "consecutive5xxErrors"),
    dr.ClientTLSSettings: _values("mode", {"ISTIO_MUTUAL": MUTUAL_LATER})
    | _supported("clientCertificate privateKey caCertificates subjectAltNames sni insecureSkipVerify")
    | _envoy(PYTHON_REFUSES, "caCrl")
    | _ignored(CERTIFICATES_LATER, "credentialName"),
    dr.TunnelSettings: _ignored("tunnels through HTTP proxies are not built yet", "protocol targetHost targetPort"),
    dr.ProxyProtocol: _envoy(PYTHON_REFUSES, "version"),
    dr.RetryBudget: _supported("percent minRetryConcurrency")
    | _ignored("the budget counts requests in flight, not those of an interval", "budgetInterval"),
}

_TLS_ENDING_MODES = dict.fromkeys(
    ("SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL", "ISTIO_MUTUAL", "AUTO_PASSTHROUGH"),
    f"{CERTIFICATES_LATER}; the port stays closed",
)

_GATEWAY: dict[type[ApiModel], Marks] = {
    gw.GatewaySpec: _supported("selector servers"),
    gw.Server: _supported("port bind hosts tls name") | _ignored(ISTIO_NEITHER, "defaultEndpoint"),
    gw.Port: _supported("number name")
    | _envoy_values("protocol", PYTHON_LISTENS_HTTP1, "HTTP2 GRPC GRPC-WEB")
    | _rejected("it has no effect on gateways", "targetPort"),
    gw.ServerTLSSettings: _supported("httpsRedirect")
    | _values("mode", _TLS_ENDING_MODES)
    | _ignored(
        CERTIFICATES_LATER,
        "serverCertificate privateKey caCertificates caCrl credentialName credentialNames subjectAltNames"
        " verifyCertificateSpki verifyCertificateHash minProtocolVersion maxProtocolVersion cipherSuites",
    ),
}

_SERVICE_ENTRY: dict[type[ApiModel], Marks] = {
    se.ServiceEntrySpec: _supported("hosts addresses ports location resolution endpoints workloadSelector exportTo")
    | _ignored(CERTIFICATES_LATER, "subjectAltNames"),
    se.ServicePort: _supported("number name targetPort")
    | _envoy_values("protocol", PYTHON_REFUSES_HTTP2, "HTTP2 GRPC GRPC-WEB"),
}

_WORKLOAD_ENTRY: dict[type[ApiModel], Marks] = {
    we.WorkloadEntrySpec: _supported("address ports labels locality weight serviceAccount")
    | _ignored("the mesh is one network", "network"),
}

_SIDECAR: dict[type[ApiModel], Marks] = {
    sc.SidecarSpec: _supported("workloadSelector ingress egress inboundConnectionPool outboundTrafficPolicy"),
    LabelSelector: _supported("labels"),
    sc.IstioIngressListener: _supported("port bind captureMode defaultEndpoint connectionPool")
    | _ignored(CERTIFICATES_LATER, "tls"),
    sc.IstioEgressListener: _supported("port bind captureMode hosts"),
    sc.SidecarPort: _supported("number name")
    | _envoy_values("protocol", PYTHON_LISTENS_HTTP1, "HTTP2 GRPC GRPC-WEB")
    | _rejected("it has no effect on sidecars", "targetPort"),
    sc.OutboundTrafficPolicy: _supported("mode")
    | _ignored("unknown hosts are reached directly, not through a proxy", "egressProxy"),
}

_ENVOY_FILTER: dict[type[ApiModel], Marks] = {
    ef.EnvoyFilterSpec: _supported("workloadSelector priority configPatches")
    | _ignored(WAYPOINTS, "targetRefs"),
    PolicyTargetReference: _ignored(WAYPOINTS, "group kind name namespace"),
    ef.EnvoyConfigObjectPatch: _values("applyTo", {"BOOTSTRAP": NOT_APPLIED, "EXTENSION_CONFIG": NOT_APPLIED})
    | _supported("match patch"),
    ef.EnvoyConfigObjectMatch: _supported("context proxy listener routeConfiguration cluster"),
    ef.ProxyMatch: _supported("proxyVersion metadata"),
    ef.ListenerMatch: _supported("portNumber filterChain listenerFilter name") | _ignored(ISTIO_NEITHER, "portName"),
    ef.FilterChainMatch: _supported("name sni transportProtocol applicationProtocols filter destinationPort"),
    ef.FilterMatch: _supported("name subFilter"),
    ef.SubFilterMatch: _supported("name"),
    ef.RouteConfigurationMatch: _supported("portNumber portName gateway vhost name"),
    ef.VirtualHostMatch: _supported("name domainName route"),
    ef.RouteMatch: _supported("name action"),
    ef.ClusterMatch: _supported("portNumber service subset name"),
    ef.Patch: _supported("operation value") | _ignored("filters are put where the match says", "filterClass"),
}

_TELEMETRY: dict[type[ApiModel], Marks] = {
    te.TelemetrySpec: _supported("selector tracing accessLogging")
    | _ignored(STANDARD_METRICS, "metrics")
    | _ignored(WAYPOINTS, "targetRef targetRefs"),
    te.ProviderRef: _supported("name"),
    te.Tracing: _supported(
        "match providers randomSamplingPercentage disableSpanReporting customTags useRequestIdForTraceSampling"
        " enableIstioTags"
    ),
    te.TracingSelector: _supported("mode"),
    te.CustomTag: _supported("literal environment header formatter"),
    te.LiteralTag: _supported("value"),
    te.EnvironmentTag: _supported("name defaultValue"),
    te.HeaderTag: _supported("name defaultValue"),
    te.FormatterTag: _supported("value"),
    te.Metrics: _ignored(STANDARD_METRICS, "providers overrides reportingInterval"),
    te.MetricsOverrides: _ignored(STANDARD_METRICS, "match disabled tagOverrides"),
    te.MetricSelector: _ignored(STANDARD_METRICS, "metric customMetric mode"),
    te.TagOverride: _ignored(STANDARD_METRICS, "operation value"),
    te.AccessLogging: _supported("match providers disabled filter"),
    te.LogSelector: _supported("mode"),
    te.LogFilter: _supported("expression"),
}

# Message -> JSON field name -> mark.
SUPPORT: dict[type[ApiModel], Marks] = {
    **_VIRTUAL_SERVICE,
    **_DESTINATION_RULE,
    **_GATEWAY,
    **_SERVICE_ENTRY,
    **_WORKLOAD_ENTRY,
    **_SIDECAR,
    **_ENVOY_FILTER,
    **_TELEMETRY,
}

# Enum values that have a better name now: message -> field -> old value -> new value.
RENAMED_VALUES: dict[type[ApiModel], dict[str, dict[str, str]]] = {
    dr.LoadBalancerSettings: {"simple": {"LEAST_CONN": "LEAST_REQUEST"}},
}
