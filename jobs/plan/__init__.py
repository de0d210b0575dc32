"""Plans: what would become of each contact of a job, and what a person approves."""
