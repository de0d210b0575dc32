"""The certificate by which a client proves to a server who it is, with its key."""

import ssl
from pathlib import Path


class BadCertificate(ValueError):
    """The files cannot be used.

    Args:
        file: the one at fault.
        expected: worded as the end of "expected …"; holds nothing of the file.
    """

    def __init__(self, file: Path, expected: str) -> None:
        super().__init__(expected)
        self.file = file


def load_client_certificate(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Let connections show a certificate to servers that ask for one.

    Args:
        context: for new connections.
        certificate: PEM file; it can hold the certificates of the authorities in between as well.
        key: PEM file of its private key; can be the same file.

    Raises:
        BadCertificate: a file cannot be read or is not what it should be, or the two do not belong together.
    """
    if b"-----BEGIN CERTIFICATE-----" not in _read(certificate):
        raise BadCertificate(certificate, "a PEM file that begins with the client's certificate")
    if b"PRIVATE KEY-----" not in _read(key):
        raise BadCertificate(key, "a PEM file with the private key of the client's certificate")
    is_encrypted = False

    def no_pass_phrase() -> str:
        nonlocal is_encrypted
        is_encrypted = True
        return ""

    try:
        context.load_cert_chain(certificate, key, password=no_pass_phrase)
    except (OSError, ValueError) as error:
        if is_encrypted:
            expected = "a private key without a pass phrase (`openssl pkey -in FILE -out NEW` takes it off)"
            raise BadCertificate(key, expected) from None
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            raise BadCertificate(key, "the private key that belongs to the certificate (this is another one)") from None
        raise BadCertificate(certificate, "a certificate and its private key in PEM format (one is damaged)") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadCertificate(path, f"a readable file ({error.strerror or type(error).__name__})") from None
