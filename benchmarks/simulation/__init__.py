"""Runs on virtual time, against a model of a registry: what the decisions of ``bulkload.core`` come to."""
