"""What every backend can be asked: whether it would work."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

Checks: TypeAlias = Sequence[tuple[str, Callable[[], Awaitable[None]]]]
"""What is tried, and the trial, in order. Each raises a TusfmError that says what is wrong; those behind it rest on it."""
