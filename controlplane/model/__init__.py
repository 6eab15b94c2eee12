"""The mesh as translation sees it: services, endpoints, proxies and what each proxy may know. Pure."""
