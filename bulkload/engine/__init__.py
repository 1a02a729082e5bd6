"""The moving part: one run, its uploads, its polls."""
