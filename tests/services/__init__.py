"""Services that tests find or start."""
