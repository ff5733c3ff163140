"""Messages that a change of state writes to the outbox."""

import base64
import random
import time
import uuid
from dataclasses import replace
from enum import StrEnum

from tusfm.domain import metadata
from tusfm.domain.upload import Role, Upload
from tusfm.ports.metadata import Message, Pending

FINALIZE = "finalize"
"""The kind of a message that is work and not an event."""


class Event(StrEnum):
    """What the outside hears of."""

    CREATED = "created"
    FINALIZED = "finalized"
    FAILED = "failed"
    TERMINATED = "terminated"
    EXPIRED = "expired"


def created(upload_id: str, *, owner: str | None, header: str, length: int | None) -> Message:
    """Say that an upload is there; *header* is its metadata."""
    return _event(Event.CREATED, upload_id, owner, header, 0, length)


def event(kind: Event, upload: Upload) -> Message:
    """Describe a change of an upload, as it stands after that."""
    return _event(kind, upload.id, upload.owner, upload.metadata, upload.offset, upload.length)


def _event(kind: Event, upload_id: str, owner: str | None, header: str, offset: int, length: int | None) -> Message:
    """Write it as consumers see it: sizes in bytes, metadata decoded where it is text, base64 where it is not."""
    name = _name()
    body: dict[str, object] = {
        "id": name,
        "type": kind.value,
        "upload_id": upload_id,
        "owner": owner,
        "size": length,
        "offset": offset,
        "metadata": _readable(header),
    }
    return Message(id=name, kind=kind.value, upload_id=upload_id, body=body)


def finalize(upload_id: str) -> Message:
    """Ask whoever finalizes to finish the upload, or the finals that waited for it."""
    return Message(id=_name(), kind=FINALIZE, upload_id=upload_id)


def completion(upload: Upload, size: int) -> tuple[Message, ...]:
    """Say that a file is there; a partial is no file (rule N2), but its finals may have waited for it."""
    if upload.role is Role.PARTIAL:
        return (finalize(upload.id),)
    return (event(Event.FINALIZED, replace(upload, offset=size, length=size)),)


def told(one: Pending) -> dict[str, object]:
    """Return what consumers see of an event that was written: its body, and when that was."""
    whole, rest = divmod(one.at, 1000)
    return {**one.message.body, "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{rest:03d}Z"}


def _readable(header: str) -> dict[str, str | None]:
    try:
        pairs = metadata.parse(header)
    except metadata.BadMetadata:
        return {}
    return {key: value if value is None else _text(value) for key, value in pairs.items()}


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode()


def _name() -> str:
    """Name a message: unique, and no secret that is worth a call to the kernel."""
    return str(uuid.UUID(int=random.getrandbits(128), version=4))
