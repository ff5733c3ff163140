"""What settings say to the engine."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Bytes and seconds; None means no limit, and never.

    *chunk_size* is the most that one chunk may have; *strict_size* whether a file fails whose sum is not the one that its
    completion named. The buckets are what paths of files begin with.
    """

    max_size: int | None = None
    expire_after: float | None = 86400
    read_timeout: float = 60
    chunk_size: int = 10 * 1024 * 1024
    strict_size: bool = False
    public_bucket: str = "public"
    private_bucket: str = "private"
