"""How connections to Redis are secured: whom they trust, and what they show of themselves."""

import contextlib
import ssl
from pathlib import Path

from config.authorities import read_authorities
from config.client_certificate import BadCertificate, load_client_certificate
from config.settings import RedisConfig


class Tls:
    """The TLS settings that all connections of a client share.

    Args:
        config: the authorities to trust, in place of the system's, and the client certificate, if there is one.
    """

    def __init__(self, config: RedisConfig) -> None:
        self._authorities = config.tls_ca_file
        self._certificate = config.tls_cert_file
        self._key = config.tls_key_file
        self._context: ssl.SSLContext | None = None
        self._seen: tuple[int, ...] = ()

    def context(self) -> ssl.SSLContext:
        """Return the settings for a new connection. A client certificate that was renewed on disk is read again.

        Raises:
            config.client_certificate.BadCertificate: it cannot be used, and has not been used before.
        """
        seen = tuple(_changed_ns(file) for file in (self._certificate, self._key) if file is not None)
        if self._context is None:
            self._context, self._seen = self._make(), seen
        elif seen != self._seen:
            # Of a renewal that is half done, one of the two files is old: the next connection tries again.
            with contextlib.suppress(BadCertificate):
                self._context, self._seen = self._make(), seen
        return self._context

    def _make(self) -> ssl.SSLContext:
        authorities = None if self._authorities is None else read_authorities(self._authorities)
        context = ssl.create_default_context(cadata=authorities)
        if self._certificate is not None and self._key is not None:
            load_client_certificate(context, self._certificate, self._key)
        return context


def _changed_ns(file: Path) -> int:
    """Return when a file was changed, in nanoseconds; 0 if that cannot be told."""
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0
