import asyncio
from pathlib import Path

import pytest

from controlplane.debug import views
from controlplane.mesh_config_file import BadMeshConfig, MeshConfigFile
from controlplane.model.mesh_snapshot import build_snapshot
from tests.controlplane.sources.contract import until


def write(path: Path, text: str) -> None:
    draft = path.with_suffix(".new")
    draft.write_text(text)
    draft.replace(path)


def test_a_file_that_is_not_there_or_wrong_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(BadMeshConfig, match=r"mesh\.yaml: cannot be read"):
        MeshConfigFile(tmp_path / "mesh.yaml")
    write(tmp_path / "mesh.yaml", "accessLogFile: 3")
    with pytest.raises(BadMeshConfig, match="accessLogFile: must be text"):
        MeshConfigFile(tmp_path / "mesh.yaml")


async def test_changes_are_taken_and_mistakes_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "mesh.yaml"
    write(path, "defaultConfig: {tracing: {sampling: 10}}")
    file = MeshConfigFile(path)
    told: list[float] = []
    watching = asyncio.create_task(file.watch(lambda: told.append(file.current.tracing_sampling)))
    try:
        write(path, "defaultConfig: {tracing: {sampling: 20}}")
        await until(lambda: told == [20], "the change")
        write(path, "defaultConfig: {tracing: {sampling: 200}}")
        await until(lambda: file.error, "the mistake is told")
        assert "200 is not a percentage" in file.error and file.current.tracing_sampling == 20
        path.unlink()
        await until(lambda: "cannot be read" in file.error, "the loss is told")
        write(path, "defaultConfig: {tracing: {sampling: 30}}")
        await until(lambda: told == [20, 30], "it is good again")
        assert file.error is None
    finally:
        watching.cancel()


def test_the_debug_page_shows_providers_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "mesh.yaml"
    write(path, "extensionProviders: [{name: t, envoyFileAccessLog: {logFormat: {text: '%DURATION%'}}}]")
    shown = views.mesh(build_snapshot((), mesh_config=MeshConfigFile(path).current))
    assert shown["providers"] == [{"name": "t", "envoyFileAccessLog": {"logFormat": {"text": "%DURATION%"}}}]
    assert shown["root_namespace"] == "istio-system"
