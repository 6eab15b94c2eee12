"""Short ways to load a resource from a YAML spec and to read what is wrong with it."""

from typing import Any

from lugsail.api.documents import parse_documents
from lugsail.api.errors import FieldError, InvalidResource
from lugsail.api.kinds import find_kind
from lugsail.api.load import load_resource, warnings_for


def resource(kind: str, spec: str, name: str = "reviews", namespace: str = "default") -> dict[str, Any]:
    """Plain data of a resource whose spec is YAML text."""
    documents = parse_documents(spec, "spec.yaml")
    return {
        "apiVersion": find_kind(kind).api_version,
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": documents[0].data if documents else {},
    }


def errors_of(data: Any) -> list[FieldError]:
    """All errors; empty for a good resource."""
    try:
        load_resource(data)
    except InvalidResource as error:
        return error.errors
    return []


def error_texts(kind: str, spec: str) -> list[str]:
    """`path: message; hint` of every error of a spec."""
    return [str(error) for error in errors_of(resource(kind, spec))]


def warning_texts(kind: str, spec: str) -> list[str]:
    """`path: message; hint` of every warning of a good spec."""
    return [str(warning) for warning in warnings_for(load_resource(resource(kind, spec)))]


def assert_refused(kind: str, spec: str, *expected: tuple[str, str]) -> None:
    """The spec has exactly these errors: (path below spec, part of the text)."""
    found = errors_of(resource(kind, spec))
    shown = [str(error) for error in found]
    paths = [error.path.removeprefix("spec").removeprefix(".") for error in found]
    assert paths == [path for path, _ in expected], shown
    for text, (_, part) in zip(shown, expected, strict=True):
        assert part in text
