"""Sending a file by tuspy: pieces of a second or so, again after a cut, with the upload's URL kept until it is whole."""

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError

from tusfm.commands.outcome import Stop
from tusfm.logs import printable

Uploader: TypeAlias = Any
"""tuspy's; its types say that an upload's URL is always None."""

MIB = 1024 * 1024
FIRST_PIECE, MOST_PIECE = MIB, 64 * MIB
QUICK_SECONDS, SLOW_SECONDS = 0.5, 2.0
FIRST_PAUSE_SECONDS, MOST_PAUSE_SECONDS = 0.5, 15.0
PATIENCE_SECONDS = 120.0  # without a byte
FIRST_PATIENCE_SECONDS = 3.0  # for a server that has not been heard of yet
GONE = {403, 404, 410}
PASSING = {408, 409, 423, 425, 429, 460, 500, 502, 503, 504}
HINTS = {401: " Give one with --token."}
WORDS = {401: "The server wants a token that it knows; give it with --token.", 404: "There is no tus server at this URL."}
MOST_WORDS = 200


class Endpoint:
    """A tus server's endpoint."""

    def __init__(self, url: str, token: str | None, tell: Callable[[str], None]) -> None:
        """Take its URL, a bearer token if it wants one, and whom to tell when it has to be waited for."""
        self._url = url
        self._tell = tell
        self._client = TusClient(f"{url}/", headers={"Authorization": f"Bearer {token}"} if token else {})

    def send(self, path: Path, metadata: Mapping[str, str], moved: Callable[[int], None]) -> str:
        """Upload a file and return its URL; *moved* hears of each new offset. Stop."""
        kept = _Kept(path, self._url)
        uploader = self._resumed(kept, path, metadata, moved)
        if uploader is None:
            uploader = self._client.uploader(str(path), metadata=dict(metadata))
            self._patiently(uploader, lambda: uploader.set_url(uploader.create_url()), moved, FIRST_PATIENCE_SECONDS)
            kept.write(str(uploader.url))
        uploader.chunk_size = FIRST_PIECE
        moved(uploader.offset)
        while uploader.offset < uploader.stop_at:
            began = time.monotonic()
            self._patiently(uploader, uploader.upload_chunk, moved)
            moved(uploader.offset)
            uploader.chunk_size = _next_piece(uploader.chunk_size, time.monotonic() - began)
        kept.forget()
        return str(uploader.url)

    def _resumed(
        self, kept: "_Kept", path: Path, metadata: Mapping[str, str], moved: Callable[[int], None]
    ) -> Uploader | None:
        """Go on with an upload that was begun before; None when there is none any more."""
        url = kept.read()
        if url is None:
            return None
        uploader = self._client.uploader(str(path), metadata=dict(metadata))
        uploader.set_url(url)

        def ask() -> None:
            uploader.offset = uploader.get_offset()

        try:
            self._patiently(uploader, ask, moved, FIRST_PATIENCE_SECONDS)
        except Stop as error:
            cause = error.__cause__
            if not isinstance(cause, TusCommunicationError) or cause.status_code not in GONE:
                raise
            return None
        return uploader

    def _patiently(
        self, uploader: Uploader, step: Callable[[], None], moved: Callable[[int], None], patience: float = PATIENCE_SECONDS
    ) -> None:
        """Do a step, again after what may pass, from where the server says that the upload is. Stop."""
        end = time.monotonic() + patience
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                return step()
            except TusCommunicationError as error:
                if not (error.status_code is None or error.status_code in PASSING) or time.monotonic() >= end:
                    raise Stop(_sentence(error)) from error
                if pause == FIRST_PAUSE_SECONDS:
                    self._tell(f"{_sentence(error)} It is tried again.")
            time.sleep(pause)
            pause = min(MOST_PAUSE_SECONDS, pause * 2)
            if uploader.url:
                with contextlib.suppress(TusCommunicationError):
                    uploader.offset = uploader.get_offset()
                    moved(uploader.offset)


def _next_piece(size: int, seconds: float) -> int:
    """Return how much to send at once: what takes about a second, so that one sees it move, and a cut costs little."""
    if seconds < QUICK_SECONDS:
        return min(MOST_PIECE, size * 2)
    return max(FIRST_PIECE, size // 2) if seconds > SLOW_SECONDS else size


def _sentence(error: TusCommunicationError) -> str:
    if error.status_code is None:
        return "The server does not answer."
    said = error.response_content or b""
    words = (said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)).strip()
    if words and len(words) <= MOST_WORDS and "\n" not in words and "<" not in words:
        return f"The server says: {printable(words)}{HINTS.get(error.status_code, '')}"
    return WORDS.get(error.status_code, f"The server refuses it, with status {error.status_code}.")


class _Kept:
    """The URL of an unfinished upload, in the user's state directory; the file's path, size and time say which it is."""

    def __init__(self, path: Path, endpoint: str) -> None:
        state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
        found = path.stat()
        what = f"{endpoint}\n{path.resolve()}\n{found.st_size}\n{found.st_mtime_ns}"
        self._file = state / "tusfm" / "uploads" / hashlib.sha256(what.encode("utf-8", "surrogateescape")).hexdigest()

    def read(self) -> str | None:
        """Return the URL, if there is one."""
        try:
            return self._file.read_text().strip() or None
        except OSError:
            return None

    def write(self, url: str) -> None:
        """Keep it; whoever has it may write to the upload, so nobody else may read it."""
        with contextlib.suppress(OSError):  # a machine that keeps nothing uploads all the same
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file.touch(mode=0o600)
            self._file.write_text(url + "\n")

    def forget(self) -> None:
        """The upload is whole."""
        with contextlib.suppress(OSError):
            self._file.unlink()
