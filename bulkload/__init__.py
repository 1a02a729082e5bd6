"""Publish many ML models to a Wallaroo model registry: fast, safe, resumable."""

__version__ = "0.1.0"
