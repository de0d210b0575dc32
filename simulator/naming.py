"""The names of contacts, made from their IDs alone."""

_FIRST = (
    "Ann",
    "Boris",
    "Chloé",
    "David",
    "Elena",
    "Farid",
    "Grace",
    "Hugo",
    "Ines",
    "Jürgen",
    "Kaito",
    "Lena",
    "Maya",
)
_LAST = ("Lee", "Novák", "Martin", "Okafor", "Silva", "Schmidt", "Tanaka", "O'Neill", "Ivanov", "Kaya", "Rossi")
_FIRM = ("Acme", "Globex", "Initech", "Umbrella", "Hooli", "Stark & Sons", "Wayne / Partner", "Tyrell", "Wonka")

#: Names repeat after this many IDs.
NAMES = len(_FIRST) * len(_LAST) * len(_FIRM)


def display_name(contact_id: int, *, company: bool) -> str:
    """Return the name of a contact; 101 is Ann Lee, and the company 103 is Acme."""
    if company:
        return _FIRM[(contact_id - 103) % len(_FIRM)]
    return f"{_FIRST[(contact_id - 101) % len(_FIRST)]} {_LAST[(contact_id - 101) % len(_LAST)]}"
