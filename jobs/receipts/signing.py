"""Signatures of statements, and public keys as text: `ed25519:` and 64 hexadecimal digits."""

import re

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from config.receipts import Receipts
from config.signing_key import read_signing_key
from jobs.receipts.errors import BadPublicKey, NoReceiptKey

KEY_PREFIX = "ed25519:"
KEY_PATTERN = f"^{KEY_PREFIX}[0-9a-f]{{64}}$"


def signing_key(settings: Receipts) -> Ed25519PrivateKey:
    """Return the configured private key.

    Raises:
        NoReceiptKey: there is none.
    """
    if settings.key_file is None:
        raise NoReceiptKey
    return read_signing_key(settings.key_file)


def public_key_of(key: Ed25519PrivateKey) -> str:
    """Return the public key that belongs to a private one, as text."""
    return KEY_PREFIX + key.public_key().public_bytes_raw().hex()


def check_public_key(text: str) -> str:
    """Return the text of a public key unchanged.

    Raises:
        BadPublicKey: it is not one.
    """
    if not re.fullmatch(KEY_PATTERN, text):
        raise BadPublicKey(f"expected a public key, {KEY_PREFIX} and 64 hexadecimal digits")
    return text


def is_signed_by(public_key: str, signature: bytes, text: str) -> bool:
    """Check whether a text was signed with the private key that belongs to a public one."""
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key.removeprefix(KEY_PREFIX)))
    try:
        key.verify(signature, text.encode())
    except InvalidSignature:
        return False
    return True
