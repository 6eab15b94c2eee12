"""Tests of bookinfo.httpbin."""
