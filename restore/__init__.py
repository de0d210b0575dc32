"""Restoring deleted contacts from the bundles of a job: a campaign in the other direction."""
