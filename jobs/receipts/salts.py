"""The salts of a ledger's lines: all of them follow from one seed, and none of them tells anything about another.

The salt of line n, counted from 0, is the number n, as 16 bytes with the highest first, encrypted with AES-256 under
the seed. One after the other they are the keystream of AES in counter mode, so that those of many lines take one call.
"""

import secrets

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

SALT_BYTES = 16
SEED_BYTES = 32


def new_seed() -> bytes:
    """Return a seed that nobody can guess."""
    return secrets.token_bytes(SEED_BYTES)


def salts(seed: bytes, first: int, count: int) -> bytes:
    """Return the salts of consecutive lines, one after the other.

    Args:
        seed: 32 bytes.
        first: the first of the lines, from 0.
        count: how many lines.
    """
    cipher = Cipher(algorithms.AES(seed), modes.CTR(first.to_bytes(SALT_BYTES, "big")))
    return cipher.encryptor().update(bytes(SALT_BYTES * count))
