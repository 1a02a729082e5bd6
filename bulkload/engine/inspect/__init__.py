"""Questions about a registry and a ledger, beside runs: catalog, verify, doctor, login."""
