"""The one table from what the engine says to what a tus client reads."""

from dataclasses import dataclass

from tusfm.domain import errors

RETRY_SECONDS = 5
DRAIN_SECONDS = 1
CROWD_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, and the seconds after which trying again makes sense."""

    status: int
    retry_after: int | None = None
    reason: str | None = None


STATUS: dict[type[errors.TusfmError], Answer] = {
    errors.NotFound: Answer(404),
    errors.OffsetConflict: Answer(409),
    errors.LengthConflict: Answer(400),
    errors.TooLarge: Answer(413),
    errors.FinalUpload: Answer(403),
    errors.BadConcatenation: Answer(400),
    errors.NotFinished: Answer(409, retry_after=DRAIN_SECONDS),
    errors.AlreadyFinished: Answer(409),
    errors.StillFinishing: Answer(409),
    errors.BadLink: Answer(403),
    errors.Unauthenticated: Answer(401),
    errors.TypeNotAllowed: Answer(415),
    errors.NameNotAllowed: Answer(403),
    errors.OwnerFull: Answer(413),
    errors.TooManyUnfinished: Answer(429, retry_after=CROWD_SECONDS),
    errors.TooManyUploads: Answer(429, retry_after=CROWD_SECONDS),
    errors.DeploymentFull: Answer(507, retry_after=CROWD_SECONDS),
    errors.ChecksumMismatch: Answer(460, reason="Checksum Mismatch"),
    errors.Fenced: Answer(409),
    errors.BodyBroken: Answer(408),
    errors.Draining: Answer(503, retry_after=DRAIN_SECONDS),
    errors.MetadataUnavailable: Answer(503, retry_after=RETRY_SECONDS),
    errors.OutcomeUnknown: Answer(503, retry_after=RETRY_SECONDS),
    errors.BrokerUnavailable: Answer(503, retry_after=RETRY_SECONDS),
    errors.KeysUnavailable: Answer(503, retry_after=RETRY_SECONDS),
    errors.StorageUnavailable: Answer(503, retry_after=RETRY_SECONDS),
    errors.StorageFull: Answer(507, retry_after=RETRY_SECONDS),
    errors.BytesLost: Answer(404),
    errors.SegmentBusy: Answer(503, retry_after=DRAIN_SECONDS),
}

AWAY = "Something that the server needs is away; please try again in a moment."
LOST = "The upload's bytes are gone."
FULL = "The server has no room for these bytes just now; what was acknowledged is kept."


def text(error: errors.TusfmError) -> str:
    """Return one sentence that gives nothing away of what stands behind the server (rule G13)."""
    if isinstance(error, errors.StorageFull):
        return FULL
    if isinstance(error, errors.BytesLost):
        return LOST
    if isinstance(error, errors.Unavailable | errors.SegmentBusy):
        return AWAY
    return str(error)
