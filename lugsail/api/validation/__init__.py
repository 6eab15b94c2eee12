"""Istio's rules of meaning, one module a kind."""
