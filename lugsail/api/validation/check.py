"""Runs the rules of a resource's kind."""

from lugsail.api.base import Resource
from lugsail.api.errors import FieldError


def check(resource: Resource) -> list[FieldError]:
    """Everything that breaks a rule of meaning; empty for a good resource."""
    return []
