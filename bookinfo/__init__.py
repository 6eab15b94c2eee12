"""The Bookinfo application and the helper workloads that the tasks use, each a small process of its own."""
