"""What is known of files that arrive in chunks; the promises are those of ports.metadata.

A chunk has a row of its own from before its first byte is stored: an *intent*, whose number says which of two requests was
begun last. Either the transaction that counts the chunk takes the intent away, or the sweep does, never both; so no object
of a request that was frozen for a day can be deleted and counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tusfm.domain.files import Chunk, Completion, File
from tusfm.domain.upload import Upload
from tusfm.ports.metadata import Message, Metadata


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFile:
    """A completion; *id* is the file's if it is the upload's first. *metadata* is what a tus client would have said."""

    id: str
    completion: Completion
    path: str
    key: str
    metadata: str
    messages: Sequence[Message] = ()


class Chunking(Protocol):
    """Transactions of chunks and of the files that they become."""

    async def intend(self, name: str) -> None:
        """Insert an intent, before any object of the chunk exists."""

    async def forsake(self, name: str) -> bool:
        """Delete the intent of a chunk that came to nothing: its objects may go. False when a place, or a sweep, took it."""

    async def place(self, upload_id: str, chunk: Chunk, expires_in: float | None) -> Chunk | None:
        """Count a chunk: raise the upload's revision, take the intent away, and put the row in its place.

        Returns the chunk that nobody needs any more: the one that was replaced, or this one, when a request that was begun
        later has placed this index already. NotFound when the upload was never begun, has ended or is available; the intent
        stays then. Fenced when the intent is gone: a sweep took it.
        """

    async def chunks(self, upload_id: str) -> list[Chunk]:
        """Read the chunks of an upload in order of their index."""

    async def complete(self, new: NewFile) -> File:
        """Receiving (or failed) → finalizing, with the values of this completion and, the first time, its file id.

        While it is finalizing, and once it is available, the values of the completion before stand. A former key of a failed
        upload is kept, for its object may be there. NotFound when the upload was never begun, or has ended.
        """

    async def file(self, file_id: str) -> File | None:
        """Read a file, whatever the letter case of its id; None when its upload has ended, too."""

    async def file_of(self, upload_id: str) -> File | None:
        """Read the file of an upload."""

    async def restart(self, upload_id: str, messages: Sequence[Message]) -> None:
        """Failed → finalizing, for another round. Fenced when it is not failed, or its time has passed."""

    async def publish_file(self, upload: Upload, size: int, messages: Sequence[Message]) -> None:
        """Finalizing → available under the upload's lease and revision; its chunks have served. Fenced."""

    async def fail_file(self, upload: Upload, error: str, expires_in: float | None, messages: Sequence[Message]) -> None:
        """Finalizing → failed under the upload's lease and revision; it can be completed for so many seconds yet. Fenced."""

    async def adopt(self, upload_id: str, size: int) -> None:
        """Receiving → available, for a file that another service received and whose object was found."""

    async def known(self, name: str) -> bool:
        """Whether an intent or a chunk has this name; one query."""

    async def abandoned(self, limit: int) -> list[str]:
        """Names of intents that are older than a day."""

    async def abandon(self, name: str) -> bool:
        """Delete an intent that is older than a day; False when it is gone, or younger."""

    async def former_keys(self, upload_id: str) -> list[str]:
        """Keys under which earlier completions of an upload composed."""

    async def outlived(self, limit: int) -> list[str]:
        """Available uploads that have former keys."""

    async def forget_keys(self, upload_id: str) -> None:
        """Former keys are gone from storage."""


class FileMetadata(Metadata, Chunking, Protocol):
    """The whole of it."""
