"""Jaeger's query API over the store: parameters, adjusters, JSON shapes, routes."""
