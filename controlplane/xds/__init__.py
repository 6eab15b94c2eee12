"""xDS over gRPC: who subscribed to what, what was sent, what was acknowledged."""
