"""What several Lua scripts share."""
