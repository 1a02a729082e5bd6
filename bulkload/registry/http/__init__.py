"""Requests and answers over HTTP: connections, bodies, failures."""
