"""envoy.filters.http.grpc_stats: counts the messages of gRPC calls, for Istio's `istio_…_messages_total`."""

from typing import Any

from envoy.extensions.filters.http.grpc_stats.v3 import config_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2

from controlplane.translate.protos import any_of

#: Also the name under which the counts stand in a request's filter state.
NAME = "envoy.filters.http.grpc_stats"


def http_filter() -> Any:
    """The filter, as Istio has it: it keeps the counts of a call for the access log, and no statistics by method."""
    config = config_pb2.FilterConfig(emit_filter_state=True)
    config.stats_for_all_methods.value = False
    return http_connection_manager_pb2.HttpFilter(name=NAME, typed_config=any_of(config))
