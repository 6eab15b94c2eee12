"""envoy.filters.http.fault: VirtualService.http[].fault."""

from typing import Any

from envoy.extensions.filters.common.fault.v3 import fault_pb2 as common_fault_pb2
from envoy.extensions.filters.http.fault.v3 import fault_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.type.v3 import percent_pb2

from controlplane.translate.percent import fractional
from controlplane.translate.protos import any_of, duration
from lugsail.api.grpc_status import GRPC_STATUSES
from lugsail.api.scalars import parse_duration
from lugsail.api.virtual_service import HTTPFaultInjection

NAME = "envoy.filters.http.fault"

GRPC_STATUS = {name: code for code, name in enumerate(GRPC_STATUSES)}


def http_filter() -> Any:
    """The filter without faults of its own; routes bring theirs."""
    return http_connection_manager_pb2.HttpFilter(name=NAME, typed_config=any_of(fault_pb2.HTTPFault()))


def per_route(fault: HTTPFaultInjection | None) -> Any | None:
    """The route's part as google.protobuf.Any, or None when there is no fault that Envoy can inject."""
    if fault is None:
        return None
    out = fault_pb2.HTTPFault()
    if fault.delay is not None and fault.delay.fixed_delay is not None:
        delay = common_fault_pb2.FaultDelay(fixed_delay=duration(parse_duration(fault.delay.fixed_delay)))
        if fault.delay.percentage is not None:
            delay.percentage.CopyFrom(fractional(fault.delay.percentage.value))
        else:
            delay.percentage.CopyFrom(percent_pb2.FractionalPercent(numerator=max(fault.delay.percent, 0)))
        out.delay.CopyFrom(delay)
    if fault.abort is not None and (fault.abort.http_status is not None or fault.abort.grpc_status is not None):
        abort = fault_pb2.FaultAbort()
        if fault.abort.http_status is not None:
            abort.http_status = fault.abort.http_status
        else:
            abort.grpc_status = GRPC_STATUS[(fault.abort.grpc_status or "UNKNOWN").upper()]
        if fault.abort.percentage is not None:
            abort.percentage.CopyFrom(fractional(fault.abort.percentage.value))
        out.abort.CopyFrom(abort)
    return any_of(out) if out.ByteSize() else None
