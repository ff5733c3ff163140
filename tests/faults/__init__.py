"""Faults that others have, and more of them: real servers before a storage and a database that fail."""
