"""What the sandbox keeps: rows in SQLite, files on disk."""
