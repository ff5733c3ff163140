"""The documentation: what it is made of, and whether it is true."""
