"""The resources behind a REST API with the paths and manners of Kubernetes."""
