"""Rows as this process's last commits left them, for the small PATCH that follows at once.

They are no more than a guess of what the row says now: only a commit that compares all that may have changed (epoch, offset,
state, expiry) may rest on one.
"""

import asyncio

from tusfm.domain.upload import Upload

RECENT_SECONDS = 1.0
MOST_ROWS = 512  # of 16 KiB at most each, which is what metadata may have


class Recent:
    """The rows; the oldest go first."""

    def __init__(self) -> None:
        """Begin with none."""
        self._rows: dict[str, tuple[float, Upload]] = {}

    def put(self, upload: Upload) -> None:
        """Keep a row that nobody writes to."""
        self._rows.pop(upload.id, None)
        self._rows[upload.id] = asyncio.get_running_loop().time(), upload
        if len(self._rows) > MOST_ROWS:
            del self._rows[next(iter(self._rows))]

    def take(self, upload_id: str, offset: int) -> Upload | None:
        """Hand a row out, once, if it is still recent and has this offset."""
        at, upload = self._rows.pop(upload_id, (0.0, None))
        if upload is None or upload.offset != offset or asyncio.get_running_loop().time() - at >= RECENT_SECONDS:
            return None
        return upload

    def forget(self, upload_id: str) -> None:
        """Drop the row of an upload that has ended."""
        self._rows.pop(upload_id, None)
