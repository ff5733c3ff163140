"""What settings say to the engine."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Bytes and seconds; None means no limit, and never.

    *chunk_size* is the most that one chunk may have; *strict_size* whether a file fails whose sum is not the one that its
    completion named. The buckets are what paths of files begin with.
    *types* and *names* of files are as domain.access reads them.
    """

    max_size: int | None = None
    expire_after: float | None = 86400
    read_timeout: float = 60
    chunk_size: int = 10 * 1024 * 1024
    strict_size: bool = False
    public_bucket: str = "public"
    private_bucket: str = "private"
    types: tuple[str, ...] | None = None
    names: tuple[str, ...] | None = None

    def most(self, own: int | None) -> int | None:
        """Return the most bytes that an upload with this limit of its own may have."""
        return min((limit for limit in (self.max_size, own) if limit is not None), default=None)

    def lifetime(self, own: float | None) -> float | None:
        """Return the seconds for which an unfinished upload lives after its last byte; one of its own can only be shorter."""
        return min((time for time in (self.expire_after, own) if time is not None), default=None)
