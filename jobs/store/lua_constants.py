"""The constants that Python and the scripts share: each stands in Python alone, and is put before the scripts in Lua.

A script runs from its first line at every call, so it gets only the constants that it names.
"""

import re

from jobs.store import item_layout, kept, keys
from jobs.words.contact_ids import SEGMENT_SIZE
from jobs.words.outcomes import Code
from jobs.words.states import lua_table

CONSTANTS: dict[str, int | str] = {
    # Keys: how they begin, and what stands behind the name of a job or portal.
    "JOB": keys.JOB,
    "PORTAL": keys.PORTAL,
    "JOBS_IN": keys.JOBS_IN,
    "FINISHED": keys.FINISHED,
    **{name: getattr(keys, name) for name in keys.PARTS_OF_A_JOB + keys.PARTS_OF_A_PORTAL},
    # The bytes of an item.
    "PUT": item_layout.PUT,
    "LOOK_UP": item_layout.LOOK_UP,
    "DOUBTFUL": item_layout.DOUBTFUL,
    "MOST_COUNTED": item_layout.MOST_COUNTED,
    "ITEM_HEAD": item_layout.ITEM_HEAD,
    "POSITIONS_HEAD": item_layout.POSITIONS_HEAD,
    "RUN": item_layout.RUN,
    "CONNECTION_LOST": int(Code.CONNECTION_LOST),
    # Numbers.
    "SEGMENT_SIZE": SEGMENT_SIZE,
    "LAST_ANSWERS": kept.LAST_ANSWERS,
    "MOST_ACTIONS": kept.MOST_ACTIONS,
    "MOST_SAMPLES": kept.MOST_SAMPLES,
    "FIRST_SAMPLE_EVERY_MS": kept.FIRST_SAMPLE_EVERY_MS,
    "EVERYONE": kept.EVERYONE,
    "FAULT_LASTS_MS": kept.FAULT_LASTS_MS,
    "LONGEST_LEASE_MS": kept.LONGEST_LEASE_S * 1000,
}
"""By the name that the scripts know it by."""

_COMMENT = re.compile(r"--.*")
_NAME = re.compile(r"\b[A-Z][A-Z_]+\b")


def prelude(code: str) -> str:
    """Write the constants that Lua code names, and the table of legal moves if it names that.

    Args:
        code: a script with all that it includes.

    Returns:
        Lua that is to stand before it.
    """
    named = set(_NAME.findall(_COMMENT.sub("", code)))
    lines = [f"local {name} = {_literal(value)}\n" for name, value in CONSTANTS.items() if name in named]
    return "".join(lines) + (lua_table() if "MOVES" in named else "")


def _literal(value: int | str) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)
