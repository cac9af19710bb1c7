"""The certificate that a service shows, checked before it listens."""

import ssl
from dataclasses import dataclass
from pathlib import Path


class TlsError(ValueError):
    """A certificate or key that cannot be used; the message names the file."""


@dataclass(frozen=True)
class Tls:
    """A certificate chain and its private key, as PEM files. A service reads them when it starts.

    Raises
    ------
    TlsError
        If they cannot be read, or do not belong together.
    """

    certificate: Path
    key: Path

    def __post_init__(self) -> None:
        for path in (self.certificate, self.key):
            if not path.is_file():
                raise TlsError(f"{path} is no file; name a PEM file with --tls-certificate and --tls-key")
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.certificate, self.key, password="")
        except OSError as error:  # ssl.SSLError is one
            raise TlsError(
                f"{self.certificate} and {self.key} cannot be used together: {error}; name a PEM file of each"
            ) from None

    @classmethod
    def of(cls, certificate: Path | None, key: Path | None) -> "Tls | None":
        """From two options that go together; None where neither is given."""
        if certificate is None and key is None:
            return None
        if certificate is None or key is None:
            raise TlsError("a certificate needs its key, and a key its certificate; pass both --tls-certificate and --tls-key")
        return cls(certificate, key)
