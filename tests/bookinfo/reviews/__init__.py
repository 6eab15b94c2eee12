"""Tests of bookinfo.reviews."""
