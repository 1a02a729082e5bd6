"""When to ask about a version."""
