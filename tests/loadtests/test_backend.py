"""The backend's framing, whole and in pieces."""

from loadtests.backend import BODY, HEAD_LIMIT_BYTES, RESPONSE, Answering
from loadtests.response import ResponseReader

REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


class Transport:
    def __init__(self):
        self.written = b""
        self.aborted = False

    def write(self, data):
        self.written += data

    def abort(self):
        self.aborted = True


def connected():
    protocol, transport = Answering(), Transport()
    protocol.connection_made(transport)
    return protocol, transport


def test_the_response_is_one_kilobyte_of_body_and_well_framed():
    assert len(BODY) == 1024
    assert ResponseReader().feed(RESPONSE) == [200]


def test_one_and_many_requests():
    protocol, transport = connected()
    protocol.data_received(REQUEST)
    assert transport.written == RESPONSE
    protocol.data_received(REQUEST * 3)
    assert transport.written == RESPONSE * 4


def test_byte_by_byte():
    protocol, transport = connected()
    for byte in REQUEST * 2:
        protocol.data_received(bytes([byte]))
    assert transport.written == RESPONSE * 2


def test_a_head_without_end_is_cut_off():
    protocol, transport = connected()
    protocol.data_received(b"x" * (HEAD_LIMIT_BYTES + 1))
    assert transport.aborted
