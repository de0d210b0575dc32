"""How the program talks to Redis: keys, scripts, connections."""
