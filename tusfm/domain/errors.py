"""Everything that the engine can say instead of an answer.

    TusfmError
    ├── NotFound                 no such upload, or not any more
    ├── Refused                  the request does not fit the upload
    │   ├── OffsetConflict       the request's offset is not the upload's
    │   ├── LengthConflict       another length was declared before, or it lies below the offset
    │   ├── TooLarge             more bytes than the upload, or the deployment, may hold
    │   ├── FinalUpload          a final of a concatenation takes no bytes
    │   ├── BadConcatenation     a final names what is no partial
    │   ├── NotFinished          the bytes are asked for before they are all there
    │   ├── AlreadyFinished      a file is to be tried again that is there
    │   └── StillFinishing       a file is to be tried again that somebody is at
    ├── Denied                   who asks may not have it
    │   ├── Unauthenticated      no credential, or none that is good here
    │   ├── BadLink              a signed link is not one that was given out, or its time has passed
    │   ├── TypeNotAllowed       files of this type are not taken
    │   └── NameNotAllowed       files of this name are not taken
    ├── OverQuota                more than an owner, or all of them together, may hold
    │   ├── OwnerFull            the owner's bytes
    │   ├── TooManyUnfinished    the owner's unfinished uploads
    │   ├── TooManyUploads       the owner's uploads of this minute
    │   └── DeploymentFull       the bytes of all
    ├── ChecksumMismatch         the bytes are not those that the client meant to send
    ├── Interrupted              the request ends, the upload lives on
    │   ├── Fenced               a newer writer, or a deletion, took the upload
    │   ├── BodyBroken           the body ended before its end, or brought nothing for too long
    │   └── Draining             this process is stopping
    ├── Unavailable              something that the request needs is away; try again later
    │   ├── MetadataUnavailable  the database
    │   │   └── OutcomeUnknown   a commit whose answer was lost: it may have been done, or may yet be
    │   ├── BrokerUnavailable    the message broker; no request needs it
    │   ├── KeysUnavailable      the keys that tokens are signed with
    │   ├── StorageUnavailable   the storage
    │   └── StorageFull          no room for the bytes
    ├── BytesLost                acknowledged bytes are gone from storage for good
    └── SegmentBusy              a segment is still held by whoever writes it

No class here knows HTTP; each face has one table from these to its statuses.
"""


class TusfmError(Exception):
    """The root; its text is one sentence fit for a client."""


class NotFound(TusfmError):
    """No upload of this name, or it expired, failed or was terminated."""

    def __init__(self, text: str = "There is no such upload.") -> None:
        """Take the sentence, which most callers leave as it is."""
        super().__init__(text)


class Refused(TusfmError):
    """The upload is there and the request does not fit it; nothing was changed."""


class OffsetConflict(Refused):
    """The request begins at another byte than the upload ends; *offset* is the true one."""

    def __init__(self, offset: int) -> None:
        """Take the upload's offset in bytes."""
        super().__init__(f"The upload's offset is {offset}.")
        self.offset = offset


class LengthConflict(Refused):
    """A length was declared that contradicts what is known of the upload."""


class TooLarge(Refused):
    """More bytes than the declared length or the maximum size."""


class FinalUpload(Refused):
    """A final upload is made of its partials and takes no bytes of its own."""


class BadConcatenation(Refused):
    """A final names something that is not a partial upload of this server."""


class NotFinished(Refused):
    """The upload's bytes are not all there, or not yet one object."""


class AlreadyFinished(Refused):
    """The file is there; there is nothing to try again."""

    def __init__(self) -> None:
        """Say so."""
        super().__init__("The file is finished already.")


class StillFinishing(Refused):
    """The file is being finished; there is nothing to try again yet."""

    def __init__(self) -> None:
        """Say so."""
        super().__init__("The file is being finished.")


class Denied(TusfmError):
    """Who asks may not have it; nothing was changed."""


class Unauthenticated(Denied):
    """The request bears no credential (*given* False), or one that is not good here; the text never quotes it."""

    def __init__(self, text: str = "This needs a token: 'Authorization: Bearer TOKEN'.", *, given: bool = False) -> None:
        """Take the sentence, and whether there was a credential."""
        super().__init__(text)
        self.given = given


class BadLink(Denied):
    """The link was not signed by this deployment, or its time has passed."""

    def __init__(self) -> None:
        """Say so, and not which."""
        super().__init__("This link is not valid, or not any more.")


class TypeNotAllowed(Denied):
    """The file's type is not among those that are taken."""

    def __init__(self) -> None:
        """Say it."""
        super().__init__("Files of this type are not taken here.")


class NameNotAllowed(Denied):
    """The file's name is not among those that are taken."""

    def __init__(self) -> None:
        """Say it."""
        super().__init__("Files of this name are not taken here.")


class OverQuota(TusfmError):
    """More than an owner, or all of them together, may hold; nothing was changed."""


class OwnerFull(OverQuota):
    """The owner's uploads together may not have so many bytes."""

    def __init__(self, limit: int, stored: int) -> None:
        """Take the limit and what is there, in bytes."""
        super().__init__(f"Your uploads may have {limit} bytes together, and {stored} of them are taken.")


class TooManyUnfinished(OverQuota):
    """The owner has as many unfinished uploads as may be."""

    def __init__(self, limit: int) -> None:
        """Take the limit."""
        super().__init__(f"You may have {limit} unfinished uploads; finish or delete one first.")


class TooManyUploads(OverQuota):
    """The owner has made as many uploads in this minute as may be; the next one begins in *seconds*."""

    def __init__(self, limit: int, *, seconds: int) -> None:
        """Take the limit and the time."""
        super().__init__(f"You may make {limit} uploads a minute.")
        self.seconds = seconds


class DeploymentFull(OverQuota):
    """All uploads together may not have so many bytes."""

    def __init__(self) -> None:
        """Give no figures: they are nobody's but the operator's."""
        super().__init__("The server has no room for so many bytes.")


class ChecksumMismatch(TusfmError):
    """The digest of the body is not the announced one; nothing of the request counts."""


class Interrupted(TusfmError):
    """The request ends before its body; the upload can be resumed."""


class Fenced(Interrupted):
    """The writer's epoch is no longer the upload's: it must not touch it again."""


class BodyBroken(Interrupted):
    """The sender went away, or was silent for longer than the read timeout."""


class Draining(Interrupted):
    """The process stops; what arrived was checkpointed."""


class Unavailable(TusfmError):
    """A backend cannot be reached or refuses for a passing cause."""


class MetadataUnavailable(Unavailable):
    """The database is away, not migrated, read-only, full or locked."""


class OutcomeUnknown(MetadataUnavailable):
    """The answer to a commit was lost and could not be found out: it counts neither as done nor as not done."""


class BrokerUnavailable(Unavailable):
    """The message broker is away; what it should have heard stays in the outbox."""


class KeysUnavailable(Unavailable):
    """The keys that tokens are signed with cannot be had."""


class StorageUnavailable(Unavailable):
    """The storage is away or fails."""


class StorageFull(Unavailable):
    """The storage has no room; what was acknowledged stays."""


class BytesLost(TusfmError):
    """Storage no longer has bytes that the row counts: no retry brings them back."""


class SegmentBusy(TusfmError):
    """Another open writer holds the segment; begin a new one."""
