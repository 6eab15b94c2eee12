"""Tests of controlplane.translate."""
