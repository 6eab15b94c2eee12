from envoy.config.cluster.v3.cluster_pb2 import Cluster
from google.protobuf.any_pb2 import Any as AnyMessage

from sidecar.admin.render import any_to_dict, to_dict


def packed(type_url: str, value: bytes = b"") -> AnyMessage:
    cluster = Cluster(name="a")
    cluster.typed_extension_protocol_options["x"].type_url = type_url
    cluster.typed_extension_protocol_options["x"].value = value
    made = AnyMessage()
    made.Pack(cluster)
    return made


def test_field_names_are_the_protos() -> None:
    assert to_dict(Cluster(name="a", alt_stat_name="b")) == {"name": "a", "alt_stat_name": "b"}


def test_a_type_that_nobody_imported_is_found() -> None:
    shown = any_to_dict(packed("type.googleapis.com/envoy.extensions.filters.http.geoip.v3.Geoip"))
    assert shown["typed_extension_protocol_options"]["x"]["@type"].endswith("Geoip")


def test_a_type_that_does_not_exist_is_shown_as_bytes() -> None:
    shown = any_to_dict(packed("type.googleapis.com/envoy.none.such.v3.Thing", b"\x01"))
    assert shown["@type"] == "type.googleapis.com/envoy.config.cluster.v3.Cluster"
    assert isinstance(shown["value"], str)
