"""The stored ledger: what is recorded about each contact ID, and how it is read back."""
