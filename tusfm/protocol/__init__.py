"""Faces: HTTP in, engine calls, HTTP out."""
