"""The private key that signs receipts."""

from functools import cache
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

#: A key has 119 bytes; a wrong file is not read to its end.
_MOST_BYTES = 65_536


@cache
def read_signing_key(path: Path) -> Ed25519PrivateKey:
    """Read the private key that signs receipts, once.

    Raises:
        ValueError: the file cannot be read or holds something else; the message is worded as the end of "expected …",
            and shows nothing of the file.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"a readable file ({error.strerror or type(error).__name__})") from None
    try:
        key = load_pem_private_key(data, password=None)
    except TypeError:  # of an encrypted key
        raise ValueError("a private key that needs no password") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(f"a PEM file with a private key ({_what_it_is(data)})") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("an Ed25519 private key (it is of another kind)")
    return key


def _what_it_is(data: bytes) -> str:
    if not data.strip():
        return "it is empty"
    if b"PUBLIC KEY-----" in data or data.startswith(b"ed25519:"):
        return "it is a public key"
    return "it is damaged" if b"PRIVATE KEY-----" in data else "it has no -----BEGIN PRIVATE KEY-----"
