"""Lua scripts for the log-in, one atomic step each."""
