"""HTTP manners: limits, bodies, problems, streams. Nothing here knows what a job is."""
