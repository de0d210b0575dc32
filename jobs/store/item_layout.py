"""The bytes of an item that the scripts also write or change, defined once for both languages.

jobs/ledger/items.py explains their meaning; jobs/store/lua_constants.py writes them into the scripts.
"""

PUT, LOOK_UP = "P", "L"
"""The first byte: which call of the portal an item waits for."""

SURVEY = "S"
"""In a claim, in place of these: one step of a job's survey, which has no items."""

DOUBTFUL = 1
"""Flag in the second byte: these IDs were in an attempt, and it is not known whether it deleted them."""

MOST_COUNTED = 255
"""The largest number of attempts or failures that fits into a byte; it also means more than that."""

ITEM_HEAD = "<BBBBHBH"
"""Call, flags, attempts, failures, HTTP status, last reason, segment. Valid for Python's `struct` and Lua's."""

POSITIONS_HEAD = "<HHB"
"""First position, how many, form."""

RUN, LIST, HOLES, BITS = range(4)
"""The forms of positions; scripts write all but the last."""

POSITION = "<H"
"""One position, or the distance of the last from the first. For more of them, the letter is repeated."""
