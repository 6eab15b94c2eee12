"""Tests of bookinfo.ratings."""
