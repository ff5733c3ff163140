"""What tusfm promises, tried: real services, real processes, real clients."""
