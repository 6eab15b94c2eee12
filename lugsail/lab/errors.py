"""What commands tell people when a mesh cannot do as asked."""

from __future__ import annotations


class LabError(Exception):
    """A sentence for people, with its remedy. `exit_code`: 1 failure, 64 usage, 65 data, 126/127 as a shell's."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class NotRunning(LabError):
    """There is no mesh to talk to."""
