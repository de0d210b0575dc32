"""The bytes of an item that the scripts write or change as well: one place for both languages.

jobs/ledger/items.py tells what they mean; the scripts get them with jobs/store/lua_constants.py.
"""

PUT, LOOK_UP = "P", "L"
"""The first byte: which call of the portal an item waits for."""

DOUBTFUL = 1
"""Flag in the second byte: an attempt held these IDs of which nobody knows whether it deleted."""

MOST_COUNTED = 255
"""The largest number of attempts or failures that a byte can say; it stands for more as well."""

ITEM_HEAD = "<BBBBHBH"
"""Call, flags, attempts, failures, HTTP status, last reason, segment. Python's `struct` and Lua's read it alike."""

POSITIONS_HEAD = "<HHB"
"""First position, how many, form."""

RUN = 0
"""The form of positions without a gap, the only one that scripts write."""
