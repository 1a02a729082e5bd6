"""The Wallaroo API: one request a call, one typed error, no retries."""

from bulkload.registry.client import Registry

__all__ = ["Registry"]
