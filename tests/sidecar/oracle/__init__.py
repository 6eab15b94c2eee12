"""The same requests to the Python proxy and to the stock Envoy, both on the same configuration."""
