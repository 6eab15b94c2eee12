"""The message has the wire format of Istio's nds.proto."""

from sidecar.xds.name_table import NameTable


def test_the_wire_format_byte_by_byte() -> None:
    table = NameTable(table={"a.b": {"ips": ["1.2.3.4"], "registry": "K", "shortname": "a", "namespace": "b"}})
    info = b"\x0a\x071.2.3.4" + b"\x12\x01K" + b"\x1a\x01a" + b"\x22\x01b"
    entry = b"\x0a\x03a.b" + b"\x12" + bytes([len(info)]) + info
    assert table.SerializeToString() == b"\x0a" + bytes([len(entry)]) + entry
    assert NameTable.DESCRIPTOR.full_name == "istio.networking.nds.v1.NameTable"
