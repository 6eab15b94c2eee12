"""Benchmarks: `python -m loadtests.bench` measures the data path beside Envoy, pushes, memory and start-up."""
