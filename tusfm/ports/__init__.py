"""What the engine relies on, as promises; drivers live in adapters."""
