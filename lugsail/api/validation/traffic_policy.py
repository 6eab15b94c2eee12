"""The rules of `trafficPolicy`, of a destination, a subset or a port."""

from lugsail.api.destination_rule import (
    ConnectionPoolSettings,
    ConsistentHash,
    HTTPSettings,
    LoadBalancerSettings,
    OutlierDetection,
    PortTrafficPolicy,
    TCPSettings,
    TrafficPolicy,
    TunnelSettings,
    WarmupConfiguration,
)
from lugsail.api.scalars import parse_duration
from lugsail.api.validation.client_tls import check_client_tls
from lugsail.api.validation.locality import check_locality_lb
from lugsail.api.validation.names import fqdn_problem, is_ip
from lugsail.api.validation.place import Place
from lugsail.api.validation.values import (
    check_at_most_one,
    check_duration,
    check_not_negative,
    check_percent,
    check_port,
)

MAGLEV_TABLE_LIMIT = 5_000_011


def check_traffic_policy(place: Place, policy: TrafficPolicy | None) -> None:
    """At least one setting, each by its rules."""
    if policy is None:
        return
    if not policy.model_fields_set:
        place.fail("sets nothing", "give at least one setting, or remove it")
    if policy.tunnel is not None and policy.proxy_protocol is not None:
        place.fail("tunnel and proxyProtocol exclude each other", "keep one of them")
    _check_settings(place, policy)
    _check_tunnel(place / "tunnel", policy.tunnel)
    for index, port_policy in enumerate(policy.port_level_settings):
        here = place / "portLevelSettings" / index
        if port_policy.port is None:
            (here / "port").fail("is required", "write port: {number: …}")
        else:
            check_port(here / "port" / "number", port_policy.port.number)
        if not port_policy.model_fields_set - {"port"}:
            here.fail("sets nothing", "give at least one setting, or remove it")
        _check_settings(here, port_policy)
    budget = policy.retry_budget
    if budget is not None:
        check_percent(place / "retryBudget" / "percent", budget.percent)
        check_duration(place / "retryBudget" / "budgetInterval", budget.budget_interval)


def _check_settings(place: Place, policy: TrafficPolicy | PortTrafficPolicy) -> None:
    outlier = policy.outlier_detection
    _check_load_balancer(place / "loadBalancer", policy.load_balancer, has_outlier_detection=outlier is not None)
    check_connection_pool(place / "connectionPool", policy.connection_pool)
    _check_outlier_detection(place / "outlierDetection", outlier)
    check_client_tls(place / "tls", policy.tls)


def _check_load_balancer(place: Place, settings: LoadBalancerSettings | None, *, has_outlier_detection: bool) -> None:
    if settings is None:
        return
    check_at_most_one(place, (("simple", settings.simple), ("consistentHash", settings.consistent_hash)))
    _check_consistent_hash(place / "consistentHash", settings.consistent_hash)
    check_locality_lb(
        place / "localityLbSetting", settings.locality_lb_setting, has_outlier_detection=has_outlier_detection
    )
    check_duration(place / "warmupDurationSecs", settings.warmup_duration_secs)
    _check_warmup(place / "warmup", settings.warmup)


def _check_warmup(place: Place, warmup: WarmupConfiguration | None) -> None:
    if warmup is None:
        return
    if warmup.duration is None:
        (place / "duration").fail("is required", 'write such as "30s"')
    check_duration(place / "duration", warmup.duration)
    check_percent(place / "minimumPercent", warmup.minimum_percent)
    if warmup.aggression is not None and warmup.aggression < 1:
        (place / "aggression").fail(f"{warmup.aggression:g} is below 1", "write 1 (linear) or more")


def _check_consistent_hash(place: Place, settings: ConsistentHash | None) -> None:
    if settings is None:
        return
    keys = (
        ("httpHeaderName", settings.http_header_name),
        ("httpCookie", settings.http_cookie),
        ("useSourceIp", settings.use_source_ip),
        ("httpQueryParameterName", settings.http_query_parameter_name),
    )
    if not check_at_most_one(place, keys):
        place.warn("hashes on nothing, so any endpoint is taken", f"give one of {', '.join(name for name, _ in keys)}")
    check_at_most_one(place, (("ringHash", settings.ring_hash), ("maglev", settings.maglev)))
    cookie = settings.http_cookie
    if cookie is not None:
        if not cookie.name:
            (place / "httpCookie" / "name").fail("is required")
        # 0s is meant: a cookie that lasts as long as the session.
        if cookie.ttl is not None and cookie.ttl.startswith("-"):
            (place / "httpCookie" / "ttl").fail(f"{cookie.ttl} is negative", "write 0s for a session cookie")
    has_algorithm = settings.ring_hash is not None or settings.maglev is not None
    if settings.minimum_ring_size and has_algorithm:
        (place / "minimumRingSize").fail("has no place beside ringHash or maglev", "use ringHash.minimumRingSize")
    if settings.maglev is not None:
        size = settings.maglev.table_size
        if not size:
            (place / "maglev" / "tableSize").fail("is required", "write a prime such as 65537")
        elif size >= MAGLEV_TABLE_LIMIT or not _is_prime(size):
            here = place / "maglev" / "tableSize"
            here.fail(f"{size} is not a prime below {MAGLEV_TABLE_LIMIT}", "write such as 65537")


def _is_prime(number: int) -> bool:
    if number < 4:
        return number > 1
    return number % 2 == 1 and all(number % factor for factor in range(3, int(number**0.5) + 1, 2))


def check_connection_pool(place: Place, pool: ConnectionPoolSettings | None) -> None:
    """At least one of tcp and http, no negative limit."""
    if pool is None:
        return
    if pool.tcp is None and pool.http is None:
        place.fail("sets nothing", "give `tcp` or `http`")
    if pool.http is not None:
        _check_http_pool(place / "http", pool.http)
    if pool.tcp is not None:
        _check_tcp_pool(place / "tcp", pool.tcp)


def _check_http_pool(place: Place, http: HTTPSettings) -> None:
    check_not_negative(place / "http1MaxPendingRequests", http.http1_max_pending_requests)
    check_not_negative(place / "http2MaxRequests", http.http2_max_requests)
    check_not_negative(place / "maxRequestsPerConnection", http.max_requests_per_connection)
    check_not_negative(place / "maxRetries", http.max_retries)
    check_not_negative(place / "maxConcurrentStreams", http.max_concurrent_streams)
    check_duration(place / "idleTimeout", http.idle_timeout)
    if http.use_client_protocol and http.h2_upgrade_policy == "UPGRADE":
        (place / "useClientProtocol").fail("has no place beside h2UpgradePolicy UPGRADE", "remove one of the two")


def _check_tcp_pool(place: Place, tcp: TCPSettings) -> None:
    check_not_negative(place / "maxConnections", tcp.max_connections)
    check_duration(place / "connectTimeout", tcp.connect_timeout)
    check_duration(place / "maxConnectionDuration", tcp.max_connection_duration)
    # 0s is meant: no timeout at all.
    if tcp.idle_timeout is not None and parse_duration(tcp.idle_timeout) != 0:
        check_duration(place / "idleTimeout", tcp.idle_timeout)
    if tcp.tcp_keepalive is not None:
        check_duration(place / "tcpKeepalive" / "time", tcp.tcp_keepalive.time)
        check_duration(place / "tcpKeepalive" / "interval", tcp.tcp_keepalive.interval)


def _check_outlier_detection(place: Place, outlier: OutlierDetection | None) -> None:
    if outlier is None:
        return
    check_duration(place / "interval", outlier.interval)
    check_duration(place / "baseEjectionTime", outlier.base_ejection_time)
    check_percent(place / "maxEjectionPercent", outlier.max_ejection_percent)
    check_percent(place / "minHealthPercent", outlier.min_health_percent)
    check_not_negative(place / "consecutiveErrors", outlier.consecutive_errors)
    if outlier.consecutive_local_origin_failures and not outlier.split_external_local_origin_errors:
        (place / "consecutiveLocalOriginFailures").fail(
            "counts nothing while local and external errors are not split", "set splitExternalLocalOriginErrors: true"
        )


def _check_tunnel(place: Place, tunnel: TunnelSettings | None) -> None:
    if tunnel is None:
        return
    if tunnel.protocol not in ("", "CONNECT", "POST"):
        (place / "protocol").fail(f"{tunnel.protocol!r} is not a way to tunnel", "write CONNECT or POST")
    if not is_ip(tunnel.target_host) and fqdn_problem(tunnel.target_host):
        (place / "targetHost").fail(f"{tunnel.target_host!r} is neither a host name nor an IP address")
    check_port(place / "targetPort", tunnel.target_port)
