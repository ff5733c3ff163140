"""Uploads in a database, as the contract of ports.metadata wants them."""

from typing import Any

from tusfm.adapters.metadata_sql import SqlMetadata
from tusfm.domain.upload import Extent, ExtentKind, State, Upload, new_id
from tusfm.ports.metadata import Claim, Commit, Message, NewUpload


async def made(metadata: SqlMetadata, /, **more: Any) -> Upload:
    """Create an upload."""
    return await metadata.create(NewUpload(**{"id": new_id(), "length": 100, "metadata": "", "expires_in": 100, **more}))


def claim(upload: Upload, offset: int = 0, **more: Any) -> Claim:
    """Claim it."""
    return Claim(**{"id": upload.id, "offset": offset, "writer": "one", "expires_in": 100, **more})


def segment(start: int, length: int, key: str = "work/x/s/1") -> Extent:
    """Make an extent."""
    return Extent(ExtentKind.SEGMENT, start, length, key)


def message(upload: Upload, kind: str = "finalize") -> Message:
    """Make a message."""
    return Message(id=new_id(), kind=kind, upload_id=upload.id, body={"a": 1})


async def finalizing(metadata: SqlMetadata, /, **more: Any) -> Upload:
    """Bring an upload to `finalizing`."""
    upload = await made(metadata, length=5, **more)
    claimed = await metadata.claim(claim(upload))
    assert claimed is not None
    await metadata.commit(Commit(id=upload.id, epoch=1, offset=0, reached=5, state=State.FINALIZING, add=[segment(0, 5)]))
    return upload


async def gone(metadata: SqlMetadata, upload: Upload) -> bool:
    """Tell whether clients are told that there is no such upload."""
    found = await metadata.find(upload.id)
    return found is None or found.gone
