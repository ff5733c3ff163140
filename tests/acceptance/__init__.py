"""The installed command, real clients, and what kills processes."""
