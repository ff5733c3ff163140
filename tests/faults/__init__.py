"""The faults of the design's list, and others: real servers before a storage and a database that fail."""
