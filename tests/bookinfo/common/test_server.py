"""Starting and stopping a service as a process."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

from tests.ports import free_port

ADDRESS = "127.32.90.1"


def start(**env):
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-m", "bookinfo.details"],
        env={**kept, "BIND_ADDRESS": ADDRESS, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(address, process):
    """Connects until somebody listens; the process ending first is a failure."""
    while process.poll() is None:
        try:
            socket.create_connection(address, timeout=1).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.01)
    raise AssertionError(process.stderr.read())


def test_serves_where_the_environment_says_and_ends_with_0_on_sigterm():
    port = free_port(ADDRESS)
    with start(PORT=str(port), ACCESS_LOG="true") as process:
        wait_for((ADDRESS, port), process)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            f"http://{ADDRESS}:{port}/health", timeout=5
        ) as answer:
            assert json.load(answer) == {"status": "Details is healthy"}
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    line = json.loads(out)
    assert (line["method"], line["path"], line["status"]) == ("GET", "/health", 200)


def test_new_requests_are_served_for_a_while_after_sigterm_where_that_is_asked_for():
    port = free_port(ADDRESS)
    url = f"http://{ADDRESS}:{port}/health"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with start(PORT=str(port), STOP_DELAY_MS="700") as process:
        wait_for((ADDRESS, port), process)
        process.send_signal(signal.SIGTERM)
        told_at = time.monotonic()
        while time.monotonic() < told_at + 0.4:
            assert opener.open(url, timeout=5).status == 200
        process.communicate(timeout=10)
    assert process.returncode == 0


def test_a_taken_port_is_said():
    port = free_port(ADDRESS)
    with socket.create_server((ADDRESS, port)), start(PORT=str(port)) as process:
        _, err = process.communicate(timeout=10)
    assert process.returncode == 1
    assert f"cannot listen on {ADDRESS}:{port}" in err
    assert "Traceback" not in err


def test_a_wrong_port_is_a_usage_error():
    with start(PORT="http") as process:
        _, err = process.communicate(timeout=10)
    assert process.returncode == 64
    assert "PORT='http'" in err
