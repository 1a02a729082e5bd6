"""How requests come in and answers go out: server, gateway, exchange, multipart."""
