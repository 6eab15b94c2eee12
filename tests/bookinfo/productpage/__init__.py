"""Tests of bookinfo.productpage."""
