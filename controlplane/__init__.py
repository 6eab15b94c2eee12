"""The control plane: from resources and registries to xDS."""
