"""Alembic's steps, and how they are run."""
