"""Values and rules of an upload, free of I/O."""
