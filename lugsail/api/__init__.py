"""Istio's resources as typed models: parsing, validation, and what of them this mesh supports."""
