"""Who the sandbox lets in: its one account, and Keycloak's endpoints."""
