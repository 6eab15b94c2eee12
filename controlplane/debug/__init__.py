"""Looking into the running control plane: debug pages and metrics."""
