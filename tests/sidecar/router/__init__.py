"""Tests of sidecar.router."""
