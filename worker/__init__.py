"""Runs jobs: lanes, pacing, the portal client, and the arq entry points."""
