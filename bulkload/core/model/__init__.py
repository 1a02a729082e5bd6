"""The records that the house hands around: entries, states, settings, summaries, errors, units."""
