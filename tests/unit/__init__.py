"""Pure parts: nothing real is needed."""
