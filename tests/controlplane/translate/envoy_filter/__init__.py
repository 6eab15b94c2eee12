"""Tests of controlplane.translate.envoy_filter."""
