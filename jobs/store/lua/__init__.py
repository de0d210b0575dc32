"""The Lua scripts: one atomic change of the ledger each."""
