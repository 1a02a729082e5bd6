"""Certificates, made by the openssl command."""

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from bulkload.core.model.settings import Connection


class Certificates:
    """A certificate for localhost that nobody vouches for, and one of its holder's side of a connection."""

    def __init__(self, folder: Path) -> None:
        openssl = shutil.which("openssl")
        if openssl is None:
            pytest.skip("there is no openssl command to make a certificate with")
        self._openssl = openssl
        self._folder = folder
        self.key, self.file = self.make("server", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")

    def make(self, name: str, *words: str) -> tuple[Path, Path]:
        """A key and a certificate of its own."""
        key, file = self._folder / f"{name}-key.pem", self._folder / f"{name}.pem"
        command = [self._openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        command += ["-days", "2", "-subj", f"/CN={name}", *(() if "-passout" in words else ("-nodes",)), *words]
        subprocess.run([*command, "-keyout", str(key), "-out", str(file)], check=True, capture_output=True)
        return key, file

    def run_out(self) -> tuple[Path, Path]:
        """A key and a certificate that has run out."""
        key, file = self._folder / "old-key.pem", self._folder / "old.pem"
        request, extensions = self._folder / "old.csr", self._folder / "old.cnf"
        extensions.write_text("subjectAltName=IP:127.0.0.1\n")
        new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(key)]
        signed = ["-signkey", str(key), "-days", "-1", "-extfile", str(extensions), "-out", str(file)]
        for words in (
            ["req", "-new", "-subj", "/CN=old", *new_key, "-out", str(request)],
            ["x509", "-req", "-in", str(request), *signed],
        ):
            subprocess.run([self._openssl, *words], check=True, capture_output=True)
        return key, file

    @property
    def trusted(self) -> Connection:
        """A client's settings."""
        return Connection(ca_file=self.file)

    def server(self, key: Path | None = None, file: Path | None = None) -> ssl.SSLContext:
        """A server's side."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file or self.file, key or self.key)
        return context
