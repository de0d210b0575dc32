"""Typed settings from TOML and environment, and logging. Imports nothing of ours."""
