"""The lanes' side of the ledger: leases, grants, settlements, wake-ups."""
