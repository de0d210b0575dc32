"""Bundles: what was there before it was deleted, encrypted so that only the holder of a private key can read it."""
