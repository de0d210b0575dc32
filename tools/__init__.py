"""Generators of the pages in docs/ that are made from code; `make docs` runs them."""
