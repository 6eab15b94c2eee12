from pathlib import Path

import pytest

from sidecar.agent.resolv_conf import ResolvConf, parse_resolv_conf, read_resolv_conf


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ResolvConf()),
        ("nameserver 127.0.0.11\noptions ndots:0\n", ResolvConf((("127.0.0.11", 53),))),
        (
            "# made by a tool\nsearch default.svc.cluster.local. svc.cluster.local\nnameserver 10.0.0.1 \n",
            ResolvConf((("10.0.0.1", 53),), ("default.svc.cluster.local", "svc.cluster.local")),
        ),
        ("domain a\nsearch b\n", ResolvConf((), ("b",))),
        ("nameserver fe80::1%eth0\n", ResolvConf((("fe80::1%eth0", 53),))),
        ("nameserver\nnameserver nonsense\n;nameserver 1.1.1.1\nsearch .\n", ResolvConf()),
        (
            "".join(f"nameserver 10.0.0.{n}\n" for n in range(1, 6)),
            ResolvConf((("10.0.0.1", 53), ("10.0.0.2", 53), ("10.0.0.3", 53))),
        ),
    ],
)
def test_parsing(text: str, expected: ResolvConf) -> None:
    assert parse_resolv_conf(text) == expected


def test_without_a_nameserver_it_is_the_local_host(tmp_path: Path) -> None:
    assert read_resolv_conf(tmp_path / "missing") == ResolvConf((("127.0.0.1", 53),))
    (tmp_path / "conf").write_text("search a.example\n")
    assert read_resolv_conf(tmp_path / "conf") == ResolvConf((("127.0.0.1", 53),), ("a.example",))
