"""The Lua scripts, each of which is one atomic change of the ledger."""
