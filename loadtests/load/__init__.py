"""Load on Bookinfo through the mesh: locust users, an open-model schedule, exact counts, assertions, pictures."""
