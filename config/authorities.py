"""Certificates of authorities from a file, to trust in place of the system's own."""

import re
import ssl
from functools import cache
from pathlib import Path

#: A bundle of every public authority is a quarter of this.
_MOST_BYTES = 1_048_576

_CERTIFICATE = re.compile(rb"-----BEGIN ((?:X509 |TRUSTED )?CERTIFICATE)-----\s.+?-----END \1-----", re.DOTALL)


@cache
def read_authorities(path: Path) -> str:
    """Read the certificates of a PEM file, once, leaving out whatever is around them.

    Raises:
        ValueError: there are no usable ones; the message is worded as the end of "expected …".
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"a readable file ({error.strerror or type(error).__name__})") from None
    if len(data) > _MOST_BYTES:
        raise ValueError("a file of certificates (it is too large to be one)")
    certificates = b"\n".join(match[0] for match in _CERTIFICATE.finditer(data))
    if not certificates:
        raise ValueError(f"a PEM file of certificates ({_what_it_is(data)})")
    try:
        ssl.create_default_context(cadata=certificates.decode("ascii"))
    except (ssl.SSLError, ValueError):
        raise ValueError("a PEM file of certificates (one of them is damaged)") from None
    return certificates.decode("ascii")


def _what_it_is(data: bytes) -> str:
    if not data.strip():
        return "it is empty"
    if b"PRIVATE KEY-----" in data:
        return "it holds a private key, which belongs on the server alone"
    if data.startswith(b"0\x82"):  # the first bytes of a certificate in DER
        return "it is in DER format: convert it with `openssl x509 -inform der -outform pem`"
    return "it has no -----BEGIN CERTIFICATE-----"
