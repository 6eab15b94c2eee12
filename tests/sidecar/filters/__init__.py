"""Tests of sidecar.filters."""
