"""Receipts: a ledger as a signed Merkle root, and proofs of single lines of it. docs/receipts.md has the format."""
