"""Lua scripts that change the ledger, one transaction each."""
