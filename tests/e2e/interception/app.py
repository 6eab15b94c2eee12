"""An app that knows nothing of a mesh: HTTP that tells what it saw, and a TCP service that speaks first.

python app.py NAME ADDRESS HTTP_PORT TCP_PORT
"""

import json
import socketserver
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME, ADDRESS = sys.argv[1], sys.argv[2]


class Http(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/metrics":
            body = b"# TYPE app_answers_total counter\napp_answers_total 7\n# EOF\n"
        else:
            seen = {"app": NAME, "peer": self.client_address[0], "path": self.path, "headers": dict(self.headers)}
            body = json.dumps(seen).encode()
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Tcp(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(f"I am {NAME}, you are {self.client_address[0]}\n".encode())
        while line := self.rfile.readline():
            self.wfile.write(line)


class Threads(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


http = ThreadingHTTPServer((ADDRESS, int(sys.argv[3])), Http)
tcp = Threads((ADDRESS, int(sys.argv[4])), Tcp)
threading.Thread(target=tcp.serve_forever, daemon=True).start()
http.serve_forever()
