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

MOST_SCHEDULED_JOBS = 10
"""How many of a schedule's last jobs are remembered with it."""

SCHEDULE_CLOCK_SLACK_MS = 60 * 60 * 1000
"""If due times have been dealt with further ahead than this, the server's clock was wrong."""

LAST_DELIVERIES = 20
"""How many of the last deliveries to a webhook are kept."""

MOST_UNSENT = 100_000
"""How many events wait for one webhook at most; further ones are given up right away."""

LONGEST_TICK_MS = 1000
"""The steady clock moves on by this much at most, however much time the server's own clock says has passed."""

MOST_KEEPING = 24
"""How many bundles of one portal are made at the same time; each worker has room in memory for as many."""
