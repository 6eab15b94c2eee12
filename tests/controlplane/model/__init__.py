"""Tests of controlplane.model."""
