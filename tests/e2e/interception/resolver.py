"""A name server of the world outside: every A question about `*.world.test` has one answer, all else is unknown.

python resolver.py ADDRESS ANSWER
"""

import socket
import struct
import sys

ADDRESS, ANSWER = sys.argv[1], sys.argv[2]

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
    server.bind((ADDRESS, 53))
    while True:
        query, sender = server.recvfrom(4096)
        end = query.index(b"\0", 12) + 5  # the name's last byte, type and class
        question = query[12:end]
        ours = b"\x05world\x04test\0" in question.lower()
        address = question[-4:-2] == b"\0\1" and ours
        answer = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 30, 4) + socket.inet_aton(ANSWER) if address else b""
        flags = 0x8180 if ours else 0x8183
        server.sendto(query[:2] + struct.pack("!HHHHH", flags, 1, bool(answer), 0, 0) + question + answer, sender)
