from lugsail.api.errors import DocumentError, FieldError, InvalidResource, child_path, join_path


def test_paths_read_like_json_paths() -> None:
    assert join_path(("spec", "http", 0, "route", 12, "weight")) == "spec.http[0].route[12].weight"
    assert join_path(("metadata", "labels", "example.com/app")) == 'metadata.labels["example.com/app"]'
    assert child_path("", "spec") == "spec"


def test_an_invalid_resource_says_everything_at_once() -> None:
    error = InvalidResource(
        "VirtualService default/reviews",
        [
            FieldError("spec.hosts", "is required"),
            FieldError("spec.http[0].routes", "unknown field", "did you mean x?"),
        ],
    )
    assert str(error) == (
        "VirtualService default/reviews is invalid (2 errors):\n"
        "  spec.hosts: is required\n"
        "  spec.http[0].routes: unknown field; did you mean x?"
    )
    assert "(1 error)" in str(InvalidResource("x", [FieldError("", "must be a mapping")]))


def test_a_document_error_names_file_line_and_column() -> None:
    assert str(DocumentError("a.yaml", 3, 2, "a tab", "use spaces")) == "a.yaml:3:2: a tab; use spaces"
    assert str(DocumentError("a.yaml", 0, 0, "too big")) == "a.yaml: too big"
