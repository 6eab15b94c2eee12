"""What it takes to put a sidecar beside a workload: for Compose, Kubernetes and running containers."""
