"""Lua scripts around the log-in, one atomic step each."""
