"""The ports that spans come in by."""
