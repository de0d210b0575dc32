"""The one door through which a job comes in."""
