"""How much is kept and for how long: numbers that Python and the scripts share."""

LAST_ANSWERS = 20
"""How many of a portal's last answers are kept."""

MOST_ACTIONS = 100
"""How many actions of a job or portal are kept; the oldest goes first."""

MOST_SAMPLES = 240
"""How many samples of a job's progress are kept at most: when the list is full, every second one goes."""

FIRST_SAMPLE_EVERY_MS = 1000
"""Time between two samples until the list is full for the first time."""

EVERYONE = "*"
"""In place of a configuration's fingerprint: the portal itself is at fault; in place of a portal's name: all."""

FAULT_LASTS_MS = 10 * 60 * 1000
"""How long a fault lasts if no person acts; then one call tries the portal again."""

LONGEST_LEASE_S = 60
"""Upper bound of `lease_ttl_s`; a lease that lasts longer was taken before the server's clock was set back."""

MOST_KEEPING = 24
"""How many bundles of one portal are made at the same time; each worker has room in memory for as many."""
