"""The lab: runs a topology as plain processes, each workload beside its sidecar."""
