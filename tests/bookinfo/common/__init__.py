"""Tests of bookinfo.common."""
