"""httpbin: a service that answers with what it was asked, for tasks that look at single requests."""

from bookinfo.httpbin.app import main

__all__ = ["main"]
