"""From Istio's YAML to answers: the same cases on the Python proxy and on the stock Envoy, under one control plane."""
