"""Programs that do the same work as a person would have it done without bulkload."""
