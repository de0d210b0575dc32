"""Typed settings from a TOML file and the environment, and logging. Imports none of our other packages."""
