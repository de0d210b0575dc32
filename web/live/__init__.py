"""Live state: one reader of Redis for everyone who watches or polls."""
