from lugsail.api.kinds import KINDS
from lugsail.api.validation.check import _CHECKS
from tests.lugsail.api.helpers import errors_of, resource


def test_every_kind_has_rules() -> None:
    assert set(_CHECKS) == set(KINDS)


def test_metadata_labels_are_labels() -> None:
    data = resource("Sidecar", "egress: [{hosts: ['*/*']}]")
    data["metadata"]["labels"] = {"app.kubernetes.io/name": "a", "-": "x"}
    assert [error.path for error in errors_of(data)] == ["metadata.labels"]
