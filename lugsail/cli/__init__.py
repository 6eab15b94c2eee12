"""The `lugsail` command: one file per command, all of them quick to import."""
