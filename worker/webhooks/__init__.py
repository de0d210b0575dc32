"""Sending events to webhooks: one POST, what to do when it fails, and the work of it."""
