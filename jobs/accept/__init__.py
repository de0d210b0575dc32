"""The one way in for every job."""
