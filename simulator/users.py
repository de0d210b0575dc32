"""The users of the portal: the account that calls it, and those who create contacts and may see private ones."""

from functools import lru_cache

from simulator.replies import json_text

#: The account that the calls are made with.
ACCOUNT = "00000000-0000-4000-8000-000000000001"
#: The user who created what nobody else did.
IMPORTER = "00000000-0000-4000-8000-000000000002"
#: Colleagues: they create contacts, and private contacts are for some of them.
COLLEAGUES = (
    "00000000-0000-4000-8000-000000000003",
    "00000000-0000-4000-8000-000000000004",
    "00000000-0000-4000-8000-000000000005",
)

_NAMES = dict(zip((ACCOUNT, IMPORTER, *COLLEAGUES), ("Admin", "Importer", "Olga", "Pedro", "Quinn"), strict=True))


@lru_cache(maxsize=256)
def user_json(user: str) -> str:
    """Return a user as the portal writes one."""
    return json_text(
        {
            "id": user,
            "displayName": _NAMES.get(user, "profile removed"),
            "profileUrl": f"/profile.aspx?user={user[-4:]}",
        }
    )
