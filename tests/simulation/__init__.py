"""The engine in one process: virtual time, a seeded order of events, faults at every call, and invariants."""
