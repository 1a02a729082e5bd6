"""The ledger as one SQLite file: schema, connection, lock, writer, reads and writes."""
