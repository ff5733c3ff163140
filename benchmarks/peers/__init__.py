"""Servers of others that ours is measured beside, built from their makers' releases; nothing of theirs is kept here."""
