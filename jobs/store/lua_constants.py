"""The constants that Python and the scripts share: each is defined in Python only, and written into the scripts.

Redis runs a script from its first line at every call, so a constant is not a variable there: its name, in capitals, is
replaced by its value before the script is sent.
"""

import re

from arq.constants import job_key_prefix

from jobs.store import item_layout, kept, keys
from jobs.words.contact_ids import SEGMENT_SIZE
from jobs.words.outcomes import Code, Outcome
from jobs.words.priority import Priority
from jobs.words.reasons import NEEDS_A_PERSON, OUR_OWN_WAITS, StateReason
from jobs.words.states import lua_table

CONSTANTS: dict[str, float | str] = {
    # Keys: how they begin, and what follows the name of a job or portal.
    "JOB": keys.JOB,
    "PORTAL": keys.PORTAL,
    "JOBS_IN": keys.JOBS_IN,
    "FINISHED": keys.FINISHED,
    "STOPPED": keys.STOPPED,
    "WEBHOOKS": keys.WEBHOOKS,
    "WEBHOOK": keys.WEBHOOK,
    "EVENTS_TOLD": keys.EVENTS_TOLD,
    **{name: getattr(keys, name) for name in keys.PARTS_OF_A_JOB + keys.PARTS_OF_A_PORTAL + keys.PARTS_OF_A_WEBHOOK},
    "BUNDLES": keys.BUNDLES,
    "WORKERS": keys.WORKERS,
    "KNOWN_PORTALS": keys.KNOWN_PORTALS,
    "CLOCK": keys.CLOCK,
    "REPLICATED_UNTIL": keys.REPLICATED_UNTIL,
    "LIFELINES": keys.LIFELINES,
    "MESSAGE": job_key_prefix,
    "NUDGE": keys.NUDGE,
    # The bytes of an item.
    "PUT": item_layout.PUT,
    "LOOK_UP": item_layout.LOOK_UP,
    "SURVEY": item_layout.SURVEY,
    "DOUBTFUL": item_layout.DOUBTFUL,
    "MOST_COUNTED": item_layout.MOST_COUNTED,
    "ITEM_HEAD": item_layout.ITEM_HEAD,
    "POSITIONS_HEAD": item_layout.POSITIONS_HEAD,
    "RUN": item_layout.RUN,
    "LIST": item_layout.LIST,
    "HOLES": item_layout.HOLES,
    "POSITION": item_layout.POSITION,
    "CONNECTION_LOST": int(Code.CONNECTION_LOST),
    # Numbers.
    "SEGMENT_SIZE": SEGMENT_SIZE,
    "LAST_DELIVERIES": kept.LAST_DELIVERIES,
    "MOST_UNSENT": kept.MOST_UNSENT,
    "LAST_ANSWERS": kept.LAST_ANSWERS,
    "MOST_ACTIONS": kept.MOST_ACTIONS,
    "MOST_SAMPLES": kept.MOST_SAMPLES,
    "FIRST_SAMPLE_EVERY_MS": kept.FIRST_SAMPLE_EVERY_MS,
    "EVERYONE": kept.EVERYONE,
    "MOST_KEEPING": kept.MOST_KEEPING,
    "FAULT_LASTS_MS": kept.FAULT_LASTS_MS,
    "LONGEST_TICK_MS": kept.LONGEST_TICK_MS,
    "MOST_SCHEDULED_JOBS": kept.MOST_SCHEDULED_JOBS,
    "SCHEDULE_CLOCK_SLACK_MS": kept.SCHEDULE_CLOCK_SLACK_MS,
    "SURVEY_STRIDE": Priority.BACKGROUND.stride,
    # Words, each between blanks.
    "OUTCOMES": f" {' '.join(Outcome)} ",
    # Reasons. Those of a class are one text, each between blanks, because a table would be built again at every call.
    "FAULT_REASONS": f" {' '.join(sorted(NEEDS_A_PERSON))} ",
    "OWN_WAITS": f" {' '.join(sorted(OUR_OWN_WAITS))} ",
    "PUSH_BACK": StateReason.PUSH_BACK.value,
    "LOGIN_GUARD": StateReason.LOGIN_GUARD.value,
    "FAILURE_THRESHOLD": StateReason.FAILURE_THRESHOLD.value,
    "APPROVAL": StateReason.APPROVAL.value,
    "PLAN_CHANGED": StateReason.PLAN_CHANGED.value,
    "PORTAL_CHANGED": StateReason.PORTAL_CHANGED.value,
    "HELD_BY_STOP": StateReason.STOPPED.value,
    "HELD_BY_WINDOW": StateReason.OUTSIDE_WINDOW.value,
    "HELD_BY_CAP": StateReason.DAILY_CAP.value,
    "CANARY": StateReason.CANARY.value,
    "UNDO_STORE": StateReason.UNDO_STORE.value,
}
"""The constants by their names in the scripts."""

#: Texts and comments come first, so that no name is replaced within them.
_TOKEN = re.compile(r"'[^'\n]*'|--[^\n]*|\b[A-Z][A-Z_]+\b")


def with_constants(code: str) -> str:
    """Write the constants into Lua code, and put the table of legal moves before code that uses it.

    Args:
        code: a script with everything that it includes.

    Returns:
        Lua that is ready to run.
    """
    written = _TOKEN.sub(lambda token: _literal(token[0]), code)
    return lua_table() + written if "MOVES[" in written else written


def _literal(token: str) -> str:
    value = CONSTANTS.get(token, token)
    return f"'{value}'" if isinstance(value, str) and value is not token else str(value)
