"""Letting the right people in: tokens, keys, links, limits."""
