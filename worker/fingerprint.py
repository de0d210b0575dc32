"""Fingerprints of what reaches a portal: they tell one configuration from another, and reveal nothing.

A fault of credentials, payment, rights or address belongs to the configuration that met it. To tell whether a worker
has another configuration, Redis must hold something derived from it, and a reader of Redis must not learn the secret.
So every part goes through scrypt, which makes a guess cost 16 MiB and some 50 ms: hopeless for a token, and for a
password no better than guessing with the encrypted token, which takes the same work and is in Redis anyway.
"""

import hashlib
import hmac

import msgspec
from pydantic import SecretStr

from config.authorities import read_authorities
from config.portal import Portal

#: The settings that decide whether the portal lets us in and that are compared by value. Others can be added, secrets
#: included: they are just as safe.
REACHED_BY = (
    "url",
    "auth_scheme",
    "answer_format",
    "username",
    "token",
    "password",
    "proxy",
    "proxy_username",
    "proxy_password",
)

# The cost of one guess for someone who can read Redis.
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 2**14, 8, 1


def slow_key(secret: bytes, context: str) -> bytes:
    """Derive 32 bytes from a secret, deliberately slowly: call it off the event loop.

    Args:
        secret: what must not be revealed.
        context: what the key is for; keys of different contexts have nothing in common. Need not be secret.
    """
    salt = hashlib.sha256(context.encode()).digest()
    return hashlib.scrypt(secret, salt=salt, n=_SCRYPT_N, r=_SCRYPT_R, p=_SCRYPT_P, dklen=32)


def fingerprint_of(portal: Portal) -> str:
    """Return the fingerprint of a portal's configuration: 32 hexadecimal digits, the same in every process.

    It takes some 50 ms: call it off the event loop.

    Args:
        portal: the portal's settings.
    """
    parts = {name: _plain(getattr(portal, name)) for name in REACHED_BY}
    # What these two refer to can change while their own values stay the same.
    if portal.proxy is None and (proxy := portal.proxy_on_the_way()):
        parts["environment"] = f"{proxy.username}\n{proxy.password}\n{proxy.url}"
    if portal.tls_ca_file is not None:
        parts["authorities"] = read_authorities(portal.tls_ca_file)
    key = slow_key(msgspec.json.encode(parts), f"crm-sweep configuration\0{portal.name}")
    return hmac.new(key, b"configuration", "sha256").hexdigest()[:32]


def _plain(value: str | SecretStr | None) -> str | None:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
