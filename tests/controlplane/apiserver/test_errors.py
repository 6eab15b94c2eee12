from controlplane.apiserver.errors import ApiError, as_api_error, causes, status_object
from controlplane.apiserver.storage import StoreError
from lugsail.api.errors import FieldError, InvalidResource


def test_an_invalid_resource_is_422_with_its_causes():
    error = as_api_error(InvalidResource("Gateway default/web", [FieldError("spec.servers", "is required", "add one")]))
    status = status_object(error)
    assert (status["code"], status["reason"]) == (422, "Invalid")
    assert status["details"]["causes"] == [
        {"reason": "FieldValueInvalid", "message": "is required; add one", "field": "spec.servers"}
    ]


def test_a_store_error_keeps_its_code():
    assert as_api_error(StoreError("full", 507)).reason == "InsufficientStorage"


def test_anything_else_is_not_for_clients():
    assert as_api_error(KeyError("x")) is None


def test_details_are_left_out_when_there_are_none():
    assert "details" not in status_object(ApiError(404, "no"))
    assert causes([]) == []
