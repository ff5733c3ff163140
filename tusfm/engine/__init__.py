"""The only code that moves an offset."""
