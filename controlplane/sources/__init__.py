"""Platform adapters: what runs, as ServiceEntry and WorkloadEntry resources."""
