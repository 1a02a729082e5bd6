"""The way of an entry to the registry: scheduler, entry, attempt, reconcile, audit."""
