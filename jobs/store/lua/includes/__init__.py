"""Lua code that several scripts share."""
