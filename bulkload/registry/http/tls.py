"""TLS: which certificates are trusted, and which one is shown."""

import ssl

from bulkload.core.model.errors import UsageError
from bulkload.core.model.settings import Connection
from bulkload.system.secrets import refuse_irregular


def tls_context(connection: Connection) -> ssl.SSLContext:
    """Certificates and names are always checked. Raises ``UsageError`` for a file that is not what it should be."""
    for file, what in (
        (connection.ca_file, "certificates"),
        (connection.client_cert, "a certificate"),
        (connection.client_key, "its key"),
    ):
        refuse_irregular(file, what)
    try:
        context = ssl.create_default_context(cafile=connection.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"{connection.ca_file}: no certificates can be read from it ({_reason(error)})") from None
    if connection.client_cert is None:
        if connection.client_key is not None:
            raise UsageError("--client-key goes with --client-cert: give both, or one file with both as --client-cert")
        return context
    try:
        # Without a password, OpenSSL would ask the terminal for one.
        context.load_cert_chain(connection.client_cert, connection.client_key, password=_no_password)
    except (OSError, ssl.SSLError) as error:
        files = " and ".join(str(file) for file in (connection.client_cert, connection.client_key) if file is not None)
        raise UsageError(
            f"{files}: no client certificate with its key, both PEM and without a password ({_reason(error)})"
        ) from None
    return context


def _no_password() -> bytes:
    return b""


def _reason(error: OSError) -> str:
    return getattr(error, "reason", None) or error.strerror or str(error)
