"""From a mesh snapshot and a proxy to Envoy's xDS resources. Pure."""
