"""How much is kept of what comes and goes, and for how long: numbers that Python and the scripts share."""

LAST_ANSWERS = 20
"""Last answers of a portal."""

MOST_ACTIONS = 100
"""Actions of a job or portal; the oldest goes first."""

MOST_SAMPLES = 240
"""Samples of how a job went, at most: a list that is full is thinned to its half."""

FIRST_SAMPLE_EVERY_MS = 1000
"""Time between two samples, until the list has been full for the first time."""

EVERYONE = "*"
"""In place of a configuration's fingerprint: the portal itself is at fault, whoever calls it."""

FAULT_LASTS_MS = 10 * 60 * 1000
"""Left alone, a fault is met again after so long, by one call."""

LONGEST_LEASE_S = 60
"""Upper bound of `lease_ttl_s`; a lease that lasts longer was taken before the server's clock was set back."""
