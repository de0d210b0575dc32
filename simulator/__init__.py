"""A portal that behaves, and misbehaves, like the real one. Imports nothing of ours."""
