"""What settings say to the engine."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Bytes and seconds; None means no limit, and never."""

    max_size: int | None = None
    expire_after: float | None = 86400
    read_timeout: float = 60
