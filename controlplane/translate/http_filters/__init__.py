"""The HTTP filters of every connection manager, in the order in which requests pass them."""

from controlplane.translate.http_filters import cors, fault, grpc_stats, router

FILTERS = (grpc_stats.http_filter, fault.http_filter, cors.http_filter, router.http_filter)

__all__ = ["FILTERS"]
