"""Pods as network namespaces: interception end to end, without Docker."""
