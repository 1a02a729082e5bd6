"""The shell of core's limits: who waits for what, on the clock of the event loop."""
