"""Decisions only: nothing here waits, reads, writes, looks at a clock or rolls a die."""
