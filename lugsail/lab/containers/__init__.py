"""The mesh of containers, seen and started from outside, through Docker."""
