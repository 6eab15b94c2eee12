"""Processes beside the mesh: each a service of its own (tracing, metrics, console, policy)."""
