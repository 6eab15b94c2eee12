"""Lugsail: a service mesh small enough to learn on and good enough to trust."""
