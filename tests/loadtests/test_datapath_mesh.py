"""What the data-path mesh is made of."""

import yaml

from loadtests.datapath_mesh import PLURALS, PROXIES, RULES, plan
from lugsail.api.load import load_resource
from lugsail.lab.addressing import Subnet
from lugsail.lab.resources import registry_documents, sidecar_resource


def test_the_two_clients_differ_in_name_and_address_alone():
    clients, backends = plan(Subnet.parse("127.60"))
    pods = [*clients, *backends]
    shapes = set()
    for proxy, pod in zip(PROXIES, clients, strict=True):
        assert pod.proxy == proxy
        resource = sidecar_resource(pod, pods)
        load_resource(resource)
        text = yaml.safe_dump(resource["spec"])
        shapes.add(text.replace(pod.name, "NAME").replace(pod.ip, "IP").replace(pod.outbound_ip, "OUT"))
    assert len(shapes) == 1


def test_the_rules_are_valid_and_fit_the_registry():
    clients, backends = plan(Subnet.parse("127.60"))
    for document in yaml.safe_load_all(RULES):
        assert load_resource(document).kind in PLURALS
    addresses = {
        document["spec"]["address"]
        for document in registry_documents([*clients, *backends], Subnet.parse("127.60"), 8080)
        if document["kind"] == "WorkloadEntry" and document["spec"]["labels"]["app"] == "reviews"
    }
    assert addresses == {pod.ip for pod in backends}
