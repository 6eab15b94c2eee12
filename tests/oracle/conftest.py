"""The mesh of a run, and each case's outcome, made once."""

from __future__ import annotations

import asyncio
import fcntl
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import envoy_missing
from tests.oracle.mesh import PROXIES, SUBNET, Mesh
from tests.oracle.play import Player
from tests.oracle.table import Case


class Outcomes:
    """Plays each case on both proxies, once, whichever test asks first."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.players: dict[str, dict[str, Player]] = {}
        self.results: dict[str, dict[str, Any]] = {}

    def of(self, case: Case) -> dict[str, Any]:
        """Proxy → what came of the case there. Raises what a check of the case raised."""
        if case.name not in self.players:
            self.mesh.apply(case.yaml)
            self.players[case.name] = {proxy: Player(self.mesh, case, proxy) for proxy in PROXIES}
            self.results[case.name] = self.mesh.run(self._play(case))
        failures = [each for each in self.results[case.name].values() if isinstance(each, BaseException)]
        if failures:
            raise failures[0] if len(failures) == 1 else ExceptionGroup("both proxies", failures)  # type: ignore[type-var]
        return self.results[case.name]

    async def _play(self, case: Case) -> dict[str, Any]:
        async def play(player: Player) -> Any:
            if case.probe is None:
                return await player.all_asks()
            return {"answers": await case.probe(player)}

        players = self.players[case.name]
        found = await asyncio.gather(*(play(player) for player in players.values()), return_exceptions=True)
        return dict(zip(players, found, strict=True))


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcomes]:
    if reason := envoy_missing():
        pytest.skip(reason)
    mesh = Mesh(tmp_path_factory.mktemp("oracle"))
    with alone():
        try:
            mesh.start()
            yield Outcomes(mesh)
        finally:
            mesh.stop()


@contextmanager
def alone() -> Iterator[None]:
    """One run at a time on a machine: all have the same addresses."""
    path = Path(tempfile.gettempdir()) / f"lugsail-oracle-{SUBNET}.lock"
    with path.open("w") as lock:
        for _ in range(900):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.1)
        else:
            pytest.skip(f"another run holds {path}")
        yield
