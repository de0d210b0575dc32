"""Live state: one reader of Redis foreveryone who watches or polls."""
