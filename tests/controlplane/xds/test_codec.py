"""Plans on the wire, and what of a request is believed."""

from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DiscoveryRequest
from google.rpc.status_pb2 import Status

from controlplane.xds.codec import ERROR_TEXT_LIMIT, DeltaCodec, SotwCodec
from controlplane.xds.subscription import Plan, Subscription
from controlplane.xds.type_urls import EDS
from tests.controlplane.xds.fakes import FakeMesh, FakeTranslator

BUILT = FakeTranslator().build(FakeMesh(endpoints={"a": "1", "b": "1"}), None, EDS, None)
PLAN = Plan(due=True, names=("a",), removed=("gone",), version="v7")


def test_state_of_the_world_response():
    response = SotwCodec.render(EDS, "n1", PLAN, BUILT)
    assert (response.version_info, response.nonce, response.type_url) == ("v7", "n1", EDS)
    assert list(response.resources) == [BUILT["a"].any]


def test_delta_response():
    response = DeltaCodec.render(EDS, "n1", PLAN, BUILT)
    assert (response.system_version_info, response.nonce) == ("v7", "n1")
    assert [(r.name, r.version) for r in response.resources] == [("a", BUILT["a"].version)]
    assert list(response.removed_resources) == ["gone"]


def test_errors_are_cut_and_never_empty():
    for codec, request in ((SotwCodec, DiscoveryRequest), (DeltaCodec, DeltaDiscoveryRequest)):
        for status, expected in ((Status(message="x" * 100_000), "x" * ERROR_TEXT_LIMIT), (Status(code=3), "code 3")):
            sub = Subscription(full_state=False, delta=codec.delta)
            names = {"resource_names_subscribe" if codec.delta else "resource_names": ["a"]}
            codec.receive(sub, request(**names))
            sub.record_sent("n1", PLAN)
            reaction = codec.receive(sub, request(**names, response_nonce="n1", error_detail=status))
            assert expected in reaction.error
