"""EnvoyFilter: patches of finished resources, applied last."""

from controlplane.translate.envoy_filter.apply import patched

__all__ = ["patched"]
