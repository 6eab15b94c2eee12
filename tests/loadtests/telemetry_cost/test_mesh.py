"""The mesh in which telemetry is measured."""

import socket

import pytest

from loadtests.datapath_mesh import NotReady
from loadtests.telemetry_cost.mesh import TelemetryMesh, mesh_config, plan, sink_documents, telemetry_resource
from loadtests.telemetry_cost.states import BY_NAME, CASES
from lugsail.api.load import load_resource
from lugsail.lab.addressing import Subnet

SUBNET = Subnet.parse("127.59")


def test_every_case_has_a_proxy_and_a_valid_telemetry():
    pods = plan(SUBNET)
    for case in CASES:
        pod = pods[case.proxy]
        assert pod.proxy == case.kind
        assert load_resource(telemetry_resource(pod, BY_NAME[case.state])).kind == "Telemetry"
    assert len({pod.ip for pod in pods.values()}) == len(pods)


def test_providers_of_the_states_are_in_the_mesh_config():
    named = {state.provider for state in BY_NAME.values() if state.provider}
    assert named <= {provider["name"] for provider in mesh_config(True)["extensionProviders"]}


def test_the_quiet_mesh_config_differs_in_the_metrics_alone():
    loud, quiet = mesh_config(True), mesh_config(False)
    assert loud.pop("enableEnvoyAccessLogService") is True
    assert quiet.pop("enableEnvoyAccessLogService") is False
    assert loud == quiet


def test_the_sink_is_a_valid_service():
    for document in sink_documents(SUBNET):
        assert load_resource(document).kind == "ServiceEntry"


def test_a_subnet_in_use_is_refused(tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(TelemetryMesh, "_own_addresses", lambda _: [taken.getsockname()])
        with pytest.raises(NotReady, match="another mesh"):
            TelemetryMesh(tmp_path, SUBNET).__enter__()
    assert not list(tmp_path.iterdir())


def test_every_address_of_the_mesh_is_checked_once(tmp_path):
    addresses = TelemetryMesh(tmp_path, SUBNET)._own_addresses()
    assert (SUBNET.control_plane_ip, 15010) in addresses
    assert len(set(addresses)) == len(addresses) == 2 + len(BY_NAME) * 2 + 4
