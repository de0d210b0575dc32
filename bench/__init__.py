"""Benchmarks: this program and its peers side by side, against the same stand-in for a portal."""
