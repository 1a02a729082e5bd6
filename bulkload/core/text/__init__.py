"""What people are told: values, suggestions, and nothing that a terminal would obey."""
