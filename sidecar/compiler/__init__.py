"""From Envoy's protos to the sidecar's frozen configuration; what cannot be honoured is refused (`Rejected`)."""
