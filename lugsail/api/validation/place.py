"""Where a check stands in a resource, and where it writes what it found."""

from dataclasses import dataclass, field

from lugsail.api.errors import FieldError, child_path


@dataclass
class Report:
    """What the checks of one resource found."""

    errors: list[FieldError] = field(default_factory=list)
    warnings: list[FieldError] = field(default_factory=list)


@dataclass(frozen=True)
class Place:
    """A JSON path in the resource under check: `place / "http" / 0`."""

    path: str
    report: Report

    def __truediv__(self, part: str | int) -> "Place":
        return Place(child_path(self.path, part), self.report)

    def fail(self, message: str, hint: str = "") -> None:
        """The resource is refused for this."""
        self.report.errors.append(FieldError(self.path, message, hint))

    def warn(self, message: str, hint: str = "") -> None:
        """The resource is taken, but this will surprise someone."""
        self.report.warnings.append(FieldError(self.path, message, hint))
