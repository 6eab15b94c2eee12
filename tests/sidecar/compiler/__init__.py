"""Tests of sidecar.compiler."""
