"""The page at `/`, and how it is built."""
