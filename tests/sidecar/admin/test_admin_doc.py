"""docs/reference/proxy-admin.md lists the paths that are served, and each of them answers as listed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.sidecar.admin.test_server import HEALTH, METRICS, Page, page  # noqa: F401 - page is a fixture

DOC = Path(__file__).parents[3] / "docs" / "reference" / "proxy-admin.md"
ROWS = dict(re.findall(r"^\| `(/[^`]*)` \| (GET|POST) \| [^|]+", DOC.read_text(), re.MULTILINE))


@pytest.mark.parametrize("path", sorted(ROWS))
async def test_every_listed_path_answers(path: str, page: Page) -> None:  # noqa: F811
    status, text = await page.get(path, method=ROWS[path])
    assert (status, bool(text)) == (200, True)
    if ROWS[path] == "POST":
        assert (await page.get(path))[0] == 405


async def test_every_served_path_is_listed(page: Page) -> None:  # noqa: F811
    served = re.findall(r"^  (/\S*?)( \(POST\))?:", (await page.get("/help"))[1], re.MULTILINE)
    assert {path: "POST" if post else "GET" for path, post in served} | {"/": "GET"} == ROWS


async def test_the_small_ports_serve_what_the_page_says(page: Page) -> None:  # noqa: F811
    assert (await page.get("/stats/prometheus", METRICS))[0] == 200
    assert (await page.get("/healthz/ready", HEALTH))[0] == 200
