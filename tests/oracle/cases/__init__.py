"""The table, a file for each family of features."""
