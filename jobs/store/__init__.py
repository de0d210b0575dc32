"""How the program speaks to Redis: keys, scripts, connections."""
