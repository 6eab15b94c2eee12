"""`lugsail down`: stops the mesh, or cleans up after one that was killed."""

from __future__ import annotations

import time

from lugsail.cli.output import FAILURE, warn

EXAMPLES = "\b\nExample:\n  lugsail down"
GIVE_UP_S = 30.0


def down() -> int:
    """Stop the mesh of this state folder with all its processes."""
    from lugsail.lab import processes, state
    from lugsail.lab.control import ControlConnection
    from lugsail.lab.paths import Home

    home = Home.from_environment()
    found = state.read_state(home)
    if found is None:
        print("No mesh is running.")
        return 0
    if not found.is_running:
        count = state.clean_up(home, found)
        print(f"The mesh had been killed; {count} processes that it left were stopped.")
        return 0
    try:
        connection = ControlConnection(home.control_socket)
        connection.send({"op": "stop"})
        for event in connection.answers():
            if event.get("event") == "note":
                warn(event["text"])
        connection.close()
    except OSError:
        if found.supervisor is not None:  # it has no socket yet, or lost it
            processes.stop_all([found.supervisor], 15.0)
    deadline = time.monotonic() + GIVE_UP_S
    while found.is_running and time.monotonic() < deadline:
        time.sleep(0.02)
    if found.is_running and found.supervisor is not None:
        warn(f"The mesh (pid {found.supervisor.pid}) does not stop; killing it.")
        processes.stop_all([found.supervisor], 0.0)
    left = state.leftovers(found)
    if left:
        state.clean_up(home, found, grace_s=1.0)
        still = state.leftovers(found)
        if still:
            warn(f"These processes would not end: {', '.join(str(ref.pid) for ref in still)}.")
            return FAILURE
    print("Stopped; nothing is left running.")
    return 0
