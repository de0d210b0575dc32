"""Live state: one reader of Redis for all who watch or poll."""
