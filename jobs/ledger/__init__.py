"""The ledger at rest: what is recorded about each contact ID, and how it is read back."""
