"""The secrets of this process, and how to keep them out of text."""

MASK = "***"

#: A shorter secret is masked only where it is the whole value: cutting "ab" out of every word would hide the log.
MIN_PART_CHARS = 4

#: A field whose name ends with one of these is masked whatever it holds.
SENSITIVE_ENDINGS = (
    "token",
    "password",
    "passwd",
    "secret",
    "authorization",
    "cookie",
    "credentials",
    "api_key",
    "auth_key",
)

_whole: set[str] = set()
_parts: tuple[str, ...] = ()


def register_secret(value: str) -> None:
    """Make a secret known: from now on no log line of this process shows it.

    Args:
        value: the secret itself; an empty one is ignored.
    """
    global _parts  # noqa: PLW0603 - one process has one set of secrets, read on every log line
    if value and value not in _whole:
        _whole.add(value)
        # The longest first, so that a secret inside another one does not leave the rest of it behind.
        _parts = tuple(sorted((text for text in _whole if len(text) >= MIN_PART_CHARS), key=len, reverse=True))


def mask_text(text: str) -> str:
    """Return the text with every known secret in it replaced."""
    if text in _whole:
        return MASK
    for secret in _parts:
        if secret in text:
            text = text.replace(secret, MASK)
    return text
