from __future__ import annotations

import io

from lugsail.lab.progress import Progress, plan_event, summary

PLAN = {
    "event": "plan",
    "rows": [["control plane", "127.20.0.1", ["control plane"]], ["a-v1", "127.20.1.1", ["app", "proxy"]]],
}


def component(name: str, state: str, **more: object) -> dict[str, object]:
    return {"event": "component", "name": name, "state": state, "restarts": 0, **more}


def test_lines_are_appended_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    progress = Progress(stream, colour=False)
    progress(PLAN)
    progress(component("control plane", "starting"))
    progress(component("control plane", "ready", ms=812.4))
    progress(component("app:a-v1", "ready", ms=100.0))
    progress(
        component(
            "proxy:a-v1", "waiting to restart", detail="killed by SIGKILL; starting it again in 0.2 s (restart 1)"
        )
    )
    progress(component("proxy:a-v1", "ready", ms=200.0))
    progress({"event": "note", "level": "info", "text": "hello"})
    progress({"event": "first page"})
    lines = stream.getvalue().splitlines()
    assert lines[0] == "  ✓ control plane        127.20.0.1   ready 812 ms"
    assert lines[1] == "  proxy:a-v1: killed by SIGKILL; starting it again in 0.2 s (restart 1)"
    assert lines[2] == "  ✓ a-v1                 127.20.1.1   app ready 100 ms     proxy ready 200 ms"
    assert lines[3] == "  hello"
    assert lines[4].startswith("  /productpage answered 200 after ")
    assert "\x1b" not in stream.getvalue()


def test_rows_are_redrawn_on_a_terminal_until_the_mesh_is_up() -> None:
    stream = io.StringIO()
    progress = Progress(stream, colour=True)
    progress(PLAN)
    progress(component("control plane", "ready", ms=1.0))
    assert "\x1b[2A" in stream.getvalue()
    progress({"event": "up"})
    before = len(stream.getvalue())
    progress(component("proxy:a-v1", "ready", ms=1.0, restarts=1))
    assert stream.getvalue()[before:] == "\x1b[32m  proxy:a-v1: ready again\x1b[0m\n"


def test_the_summary_has_three_things_to_try() -> None:
    text = summary("http://127.0.0.1:8080", "http://127.20.0.1:8080", has_bookinfo=True, paint=False)
    assert "http://127.0.0.1:8080/productpage" in text
    assert "http://127.20.0.1:15014/metrics" in text
    assert sum(line.startswith("  lugsail ") for line in text.splitlines()) == 3
    other = summary("http://127.0.0.1:8080", "http://127.20.0.1:8080", has_bookinfo=False, paint=True)
    assert "productpage" not in other


def test_the_summary_names_what_watches_the_mesh() -> None:
    observers = {"tracing": "http://127.20.0.2:16686/", "metrics": "http://127.20.0.3:9090/metrics"}
    text = summary("http://127.0.0.1:8080", "http://127.20.0.1:8080", True, False, observers=observers)
    assert "  traces           http://127.20.0.2:16686/\n" in text
    assert "  metrics          http://127.20.0.3:9090/metrics\n" in text
    assert "15014" not in text
    assert "15014/metrics" in summary("http://127.0.0.1:8080", "http://127.20.0.1:8080", True, False, observers={})


def test_what_watches_the_mesh_has_a_row() -> None:
    rows = plan_event([], "127.20.0.1", {"tracing": "127.20.0.2"})["rows"]
    assert rows[1:] == [["tracing", "127.20.0.2", ["tracing"]]]
