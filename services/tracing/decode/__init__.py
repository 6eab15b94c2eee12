"""Wire formats to rows of the store: OTLP protobuf and JSON, Zipkin v2 JSON and protobuf. Pure code."""
