"""How much may be done at a time and how often: rates, uploads at a time, retries, outages, failures, the window."""
