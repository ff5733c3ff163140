"""What a face hands to the engine: the bytes of one request, as they come."""

import asyncio
from typing import Protocol

from tusfm.domain.errors import BodyBroken


class Body(Protocol):
    """A request's body, read once by one reader."""

    size: int | None
    """Bytes that were announced; None when the sender does not know."""

    async def read(self) -> bytes:
        """Return the next bytes, as many as have arrived; b"" at the end.

        BodyBroken when the sender went away or broke the framing, after all that had arrived was handed out.
        """

    def arrived(self) -> list[bytes]:
        """Take what has arrived and was not read yet, without waiting."""

    def pause(self) -> None:
        """Leave the sender unread, so that TCP holds it back."""

    def resume(self) -> None:
        """Read the sender again."""

    def cut(self) -> None:
        """End the connection now; a pending read ends with BodyBroken."""


async def opening(body: Body, seconds: float) -> bytes:
    """Read a body's first bytes where only their being there matters; BodyBroken, also after so many seconds without any."""
    try:
        async with asyncio.timeout(seconds):
            return await body.read()
    except TimeoutError as error:
        msg = f"The body brought nothing for {seconds:g} seconds."
        raise BodyBroken(msg) from error
