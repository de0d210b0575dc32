"""Numbers, spans of time and shares as people read them."""

import math
from urllib.parse import quote

from markupsafe import Markup

#: Between groups of three digits: it neither breaks a line nor can be taken for a decimal mark.
THIN = "\N{NARROW NO-BREAK SPACE}"

#: What people put between the digits of a large number.
_SEPARATORS = dict.fromkeys(map(ord, ",._' \N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{RIGHT SINGLE QUOTATION MARK}"))


def number(value: float, digits: int = 0) -> str:
    """Write 1234567 as 1 234 567, with narrow blanks."""
    return f"{value:,.{digits}f}".replace(",", THIN)


def pace(value: float) -> str:
    """Write a rate with as many digits as say something: 0.25, 3.5, 812."""
    if value >= 100 or value == int(value):
        return number(value)
    return number(value, 1 if value >= 10 else 2).rstrip("0").rstrip(".")


def share(part: float, whole: float) -> str:
    """Write a part in per cent. Neither something that is there becomes 0 %, nor something unfinished 100 %."""
    if not whole or not part:
        return f"0{THIN}%"
    percent = part * 100 / whole
    if part < whole and percent > 99.9:
        return f">99.9{THIN}%"
    if percent < 0.1:
        return f"<0.1{THIN}%"
    return f"{percent:.1f}".removesuffix(".0") + f"{THIN}%"


def down_percent(progress: float) -> int:
    """Return a share from 0 to 1 in whole per cent, rounded down: 100 is said only of what is finished."""
    return math.floor(progress * 100 + 1e-9)


def duration(seconds: float) -> str:
    """Write a span of time as people say it: 7 s, 3 m 20 s, 5 h 10 m, 2 d 4 h."""
    whole = round(seconds)
    for unit, size, smaller, fraction in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // fraction
            return f"{whole // size}{THIN}{unit}" + (f" {rest}{THIN}{smaller}" if rest else "")
    return f"{whole}{THIN}s"


def span(shortest_s: float, longest_s: float) -> str:
    """Write a range of time, or one span where both ends read alike."""
    shortest, longest = duration(shortest_s), duration(longest_s)
    return f"about {shortest}" if shortest == longest else f"{shortest} to {longest}"


def digits(typed: str) -> str:
    """Return a number as a user has typed it without what stands between its digits."""
    return typed.strip().translate(_SEPARATORS)


def plural(count: int, one: str, many: str | None = None) -> str:
    """Write a number and its noun: 1 contact, 2 contacts."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def sentence(words: str) -> str:
    """Begin with a capital letter; all other letters stay as they are."""
    return words[:1].upper() + words[1:]


def code_marks(message: str) -> Markup:
    """Show what stands between `backticks` as code; all else is escaped as usual."""
    parts = message.split("`")
    return Markup().join(Markup("<code>{}</code>").format(part) if at % 2 else part for at, part in enumerate(parts))


def path_part(name: str) -> str:
    """Write a name as one part of an address, whatever it holds."""
    return quote(name, safe="")
