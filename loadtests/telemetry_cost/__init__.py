"""What telemetry costs a proxy: CPU per request without and with access log, Istio's metrics and tracing."""
