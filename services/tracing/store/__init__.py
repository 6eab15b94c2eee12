"""SQLite: one writer thread that commits the batches of all connections together, and read-only readers."""
