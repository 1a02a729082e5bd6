"""Asking the registry about versions until it has judged them."""
