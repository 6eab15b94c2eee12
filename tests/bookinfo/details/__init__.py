"""Tests of bookinfo.details."""
