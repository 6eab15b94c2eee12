import errno

import pytest

from lugsail.daemon.listening import CannotListen, check_free, explain


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (errno.EADDRINUSE, "in use"),
        (errno.EADDRNOTAVAIL, "not an address of this machine"),
        (errno.EACCES, "above 1023"),
        (errno.EINVAL, "cannot listen on 127.31.8.4:80"),
    ],
)
def test_every_failure_names_the_way_out(code, text):
    message = explain(OSError(code, "strange"), "127.31.8.4", 80, "--http-port")
    assert text in message and ("--http-port" in message or "--address" in message)


def test_a_free_port_stays_free():
    check_free("127.31.8.4", 38080, "--http-port")
    check_free("127.31.8.4", 38080, "--http-port")


def test_an_address_of_somebody_else():
    with pytest.raises(CannotListen, match=r"192\.0\.2\.7 is not an address"):
        check_free("192.0.2.7", 38080, "--http-port")
