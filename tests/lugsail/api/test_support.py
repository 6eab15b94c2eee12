import pytest

from lugsail.api.base import ApiModel
from lugsail.api.fields import messages
from lugsail.api.kinds import KINDS
from lugsail.api.support import RENAMED_VALUES, SUPPORT

MESSAGES = {model for kind in KINDS.values() for model in messages(kind)}


@pytest.mark.parametrize("model", sorted(MESSAGES, key=lambda model: model.__name__), ids=lambda m: m.__name__)
def test_every_field_has_a_mark_and_every_mark_a_field(model: type[ApiModel]) -> None:
    fields = {info.alias or name for name, info in model.model_fields.items()}
    assert set(SUPPORT[model]) == fields


def test_no_mark_is_for_a_message_that_no_kind_has() -> None:
    assert set(SUPPORT) == MESSAGES
    assert set(RENAMED_VALUES) <= MESSAGES


def test_what_is_not_supported_says_why() -> None:
    for model, marks in SUPPORT.items():
        for name, mark in marks.items():
            assert bool(mark.reason) == (mark.state != "supported"), f"{model.__name__}.{name}"


def test_every_message_has_a_docstring() -> None:
    assert [model.__name__ for model in MESSAGES if not (model.__doc__ or "").strip()] == []


def test_what_only_the_stock_envoy_does_says_what_the_python_sidecar_does() -> None:
    for model, marks in SUPPORT.items():
        for name, mark in marks.items():
            reasons = [mark.reason] if mark.state == "envoy" else list(mark.envoy_values.values())
            assert all("Python sidecar" in reason for reason in reasons), f"{model.__name__}.{name}"
