"""Reading lists of contact IDs in any of their forms."""
