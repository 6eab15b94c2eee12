"""Tests of bookinfo."""
