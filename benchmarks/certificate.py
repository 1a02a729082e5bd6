"""The certificate that https is measured with: every client checks it."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import Process, environment_of

# A key as most servers have one today. It is its own authority, which is what clients are told to trust.
KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc")
NAMES = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")


@dataclass(frozen=True)
class Certificate:
    """Files, both PEM."""

    certificate: Path
    key: Path


def make_certificate(folder: Path) -> Certificate:
    """One for 127.0.0.1 that is valid for a day."""
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    files = ("-out", str(made.certificate), "-keyout", str(made.key))
    words = ["openssl", "req", "-x509", "-sha256", "-days", "1", *KEY, *NAMES, *files]
    with Process(words, folder, environment_of(folder)) as process:
        process.succeed()
    return made
