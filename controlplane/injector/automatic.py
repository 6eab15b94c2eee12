"""Automatic injection: whoever asks by label gets a sidecar while it runs, and nothing of it stays when it is gone.

One loop: look at everything, plan (controlplane.injector.container), act, wait until something changes. Nothing is
remembered but failures, so a control plane that starts anew adopts what it finds.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from controlplane.injector import container as containers
from controlplane.injector.container import Plan, Rules, Verdict, World
from controlplane.injector.engine import DockerException, Engine, InjectionFailed, address_for

log = logging.getLogger(__name__)

# Events tell of changes at once; this is for those that got lost.
LOOK_EVERY_S = 10.0
RECONNECT_S = (0.5, 10.0)
RETRY_S = (1.0, 30.0)
# A sidecar that lived this long had a good start; the next failure is counted from one again.
SETTLED_S = 30.0
AT_ONCE = 4
# A sidecar whose app is gone waits so long: `docker compose down --remove-orphans` removes it too, and both at once
# would make one of them fail.
LEFT_ALONE_S = 3.0


@dataclass(frozen=True)
class Address:
    """Where this control plane serves xDS. `discovery`: host:port that people gave for sidecars; empty: find out."""

    listen: str
    port: int
    discovery: str = ""


@dataclass
class _Trouble:
    """How often one app failed to get its sidecar, and when to try again (monotonic seconds)."""

    failures: int = 0
    last: float = 0.0
    not_before: float = 0.0


class AutomaticInjector:
    """Run it beside the control plane; `run` ends by cancellation alone."""

    def __init__(
        self,
        rules: Rules,
        address: Address,
        open_engine: Callable[[], Engine],
        everything: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`everything`: containers of all projects, also where this one is part of a project itself."""
        self._rules = rules
        self._address = address
        self._everything = everything
        self._open = open_engine
        self._clock = clock
        self._changed = asyncio.Event()
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._trouble: dict[tuple[str, str], _Trouble] = {}
        self._told: set[tuple[str, str]] = set()
        self._left: dict[str, float] = {}  # sidecars without an app → since when
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        """Inject until cancelled; outlives the Engine's restarts."""
        pause_s = RECONNECT_S[0]
        while True:
            try:
                engine = await asyncio.to_thread(self._open)
                pause_s = RECONNECT_S[0]
                await self._serve(engine)
            except (DockerException, OSError) as error:
                log.warning("Docker does not answer (%s); trying again", _brief(error))
            except Exception:
                # The mesh goes on without new sidecars; what came in unforeseen form is looked at again.
                log.exception("injection")
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, RECONNECT_S[1])

    async def _serve(self, engine: Engine) -> None:
        """One connection's life. Raises DockerException or OSError when it is over."""
        rules, reachable = await asyncio.to_thread(self._vantage, engine)
        log.info("injecting sidecars as %s", rules.identity)
        watch = _Watch(engine, asyncio.get_running_loop(), self._changed)
        watch.start()
        try:
            while True:
                self._changed.clear()
                if watch.ended:
                    raise DockerException("its event stream ended")
                world = await asyncio.to_thread(engine.world)
                plan = containers.plan(world, rules, self._busy)
                self._tell(plan)
                wait_s = min(self._remove(plan, engine), self._start(plan, engine, rules, reachable, world))
                try:
                    async with asyncio.timeout(wait_s):  # wait_for of 3.11 may lose a cancellation
                        await self._changed.wait()
                except TimeoutError:
                    pass
        finally:
            watch.stop()
            for task in self._busy.values():
                task.cancel()
            await asyncio.gather(*self._busy.values(), return_exceptions=True)
            await asyncio.to_thread(engine.close)

    def _vantage(self, engine: Engine) -> tuple[Rules, dict[str, str]]:
        """The rules with the networks within reach, and by which name we are reached in each."""
        own = engine.own_container()
        if own is None:
            return self._rules, {}
        rules = replace(self._rules, identity=own.identity or self._rules.identity)
        rules = replace(rules, project=self._rules.project or ("" if self._everything else own.project))
        if self._address.discovery:
            return rules, {}
        return replace(rules, networks=frozenset(own.reachable)), own.reachable

    def _start(self, plan: Plan, engine: Engine, rules: Rules, reachable: dict[str, str], world: World) -> float:
        """Begin the injections that are due; seconds until the next one is, or until the next look."""
        now, wait_s = self._clock(), LOOK_EVERY_S
        for verdict in plan.create:
            app = verdict.container
            due = self._trouble.get(app.generation, _Trouble()).not_before
            if due > now:
                wait_s = min(wait_s, due - now)
            elif app.id not in self._busy:
                self._begin(app.id, self._inject(verdict, engine, rules, reachable, world))
        return wait_s

    def _remove(self, plan: Plan, engine: Engine) -> float:
        """Remove what has been left alone for long enough; seconds until the next will have been."""
        now, wait_s = self._clock(), LOOK_EVERY_S
        self._left = {left.id: self._left.get(left.id, now) for left in plan.remove}
        for left in plan.remove:
            rest_s = self._left[left.id] + LEFT_ALONE_S - now
            if rest_s > 0:
                wait_s = min(wait_s, rest_s)
                continue
            log.info("container %s: its app is gone; removing it", left.name)
            self._begin(left.owner, asyncio.to_thread(engine.remove, left.id))
        return wait_s

    def _begin(self, owner: str, work: object) -> None:
        async def guarded() -> None:
            try:
                await work  # type: ignore[misc]
            except (DockerException, OSError) as error:
                log.warning("Docker: %s", _brief(error))
                await asyncio.sleep(RETRY_S[0])
            finally:
                self._busy.pop(key, None)
                self._changed.set()

        key = owner if owner not in self._busy else f"{owner}/{id(work)}"
        self._busy[key] = asyncio.create_task(guarded())

    async def _inject(
        self, verdict: Verdict, engine: Engine, rules: Rules, reachable: dict[str, str], world: World
    ) -> None:
        app = verdict.container
        async with self._slots:
            started = self._clock()
            try:
                discovery = await asyncio.to_thread(self._discovery, verdict, engine, reachable)
                for left in containers.leftovers(app, world):
                    await asyncio.to_thread(engine.remove, left.id)
                for spec in containers.containers_for(verdict, rules, discovery):
                    made = await asyncio.to_thread(engine.create, spec)
                    if spec.restart == "no":
                        await asyncio.to_thread(engine.finish, made, spec.name)
            except (InjectionFailed, DockerException) as error:
                delay_s = self._failed(verdict)
                log.error("container %s gets no sidecar: %s; next try in %.0f s", app.name, error, delay_s)
                return
        self._failed(verdict)  # so that a sidecar that dies at once is not made again at once
        log.info("container %s has its sidecar (%s), %.1f s", app.name, verdict.reason, self._clock() - started)

    def _failed(self, verdict: Verdict) -> float:
        """Note one more try for this run of the app; seconds until the next."""
        now = self._clock()
        trouble = self._trouble.setdefault(verdict.container.generation, _Trouble())
        if now - trouble.last > SETTLED_S:
            trouble.failures = 0
        delay_s = float(min(RETRY_S[0] * 2 ** min(trouble.failures, 10), RETRY_S[1]))
        trouble.failures, trouble.last, trouble.not_before = trouble.failures + 1, now, now + delay_s
        return delay_s

    def _discovery(self, verdict: Verdict, engine: Engine, reachable: dict[str, str]) -> str:
        """host:port of this control plane as the app's network sees it. Raises InjectionFailed."""
        given, app = self._address, verdict.container
        if given.discovery:
            return given.discovery
        if reachable:
            found = address_for(app, reachable, given.port)
            if found is None:
                raise InjectionFailed("it shares no network with the control plane")
            return found
        listen = ipaddress.ip_address(given.listen)
        if listen.is_loopback:
            raise InjectionFailed(
                f"the control plane listens on {given.listen}, which containers cannot reach; "
                "give it --address of a network's gateway, or --inject-discovery HOST:PORT"
            )
        if not listen.is_unspecified:
            return f"{listen}:{given.port}"
        for _, network, _ in app.networks:
            gateway = engine.gateway(network)
            if gateway:
                return f"{gateway}:{given.port}"
        raise InjectionFailed("its networks have no gateway to this host; give --inject-discovery HOST:PORT")

    def _tell(self, plan: Plan) -> None:
        """Say once of each container that asks for a sidecar why it cannot have one."""
        now = {(verdict.container.id, verdict.reason): verdict for verdict in plan.verdicts if verdict.problem}
        for key, verdict in now.items():
            if key not in self._told:
                log.warning("container %s gets no sidecar: %s", verdict.container.name, verdict.reason)
        for verdict in plan.create:
            for warning in verdict.settings.warnings if verdict.settings else ():
                if (verdict.container.id, warning) not in self._told:
                    self._told.add((verdict.container.id, warning))
                    log.warning("%s", warning)
        known = {verdict.container.id for verdict in plan.verdicts}
        self._told = {key for key in self._told | set(now) if key[0] in known}
        self._trouble = {key: value for key, value in self._trouble.items() if key[0] in known}


class _Watch:
    """Sets an event whenever something changes in Docker, from a thread of its own."""

    def __init__(self, engine: Engine, loop: asyncio.AbstractEventLoop, changed: asyncio.Event) -> None:
        self._stream = engine.events()
        self._loop = loop
        self._changed = changed
        self._thread = threading.Thread(target=self._read, name="injector-events", daemon=True)
        self.ended = False

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        close = getattr(self._stream, "close", None)
        if close is not None:
            try:
                close()
            except (OSError, DockerException, ValueError):
                pass  # the connection is gone, which is what was wanted

    def _read(self) -> None:
        try:
            for event in self._stream:
                # What happens inside a container (exec, top) changes nothing here, and health checks are execs.
                if not str(event.get("Action", "")).startswith(("exec_", "top", "health_status")):
                    self._wake()
        except Exception as error:  # a broken stream ends in whatever its layer raises
            log.debug("event stream: %s", error)
        finally:
            self.ended = True
            self._wake()

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._changed.set)
        except RuntimeError:
            pass  # the loop is closed: the control plane ends


def _brief(error: Exception) -> str:
    text = str(error).splitlines()
    return text[0][:200] if text else type(error).__name__
