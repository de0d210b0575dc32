"""Reading lists of contact IDs, whatever form they come in."""
