"""What owners, and the deployment, may hold; pure."""

from dataclasses import dataclass

from tusfm.domain.errors import DeploymentFull, OwnerFull, TooManyUnfinished, TooManyUploads

STEP_BYTES = 64 * 1024 * 1024  # of which an upload of unknown length is charged, so that few commits touch an account
MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """Bytes and numbers; None: no limit. Without any nobody keeps accounts."""

    owner_bytes: int | None = None
    owner_unfinished: int | None = None
    owner_per_minute: int | None = None
    total_bytes: int | None = None

    @property
    def kept(self) -> bool:
        """Whether accounts have to be kept."""
        return self != Quotas()


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What one owner's uploads, or all of them, hold; *made* counts those of the minute that began at *minute* (ms)."""

    stored: int
    unfinished: int
    minute: int
    made: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What one transaction adds to an account, or takes from it."""

    stored: int = 0
    unfinished: int = 0
    made: int = 0


def judge(quotas: Quotas, owner: Account, total: Account, charge: Charge, now: int) -> None:
    """Hold a charge against the accounts at this time, in ms since 1970. OverQuota.

    What is taken away is always fine, and so is what changes nothing: limits may have been lowered meanwhile.
    """
    if charge.stored > 0:
        if quotas.total_bytes is not None and total.stored + charge.stored > quotas.total_bytes:
            raise DeploymentFull
        if quotas.owner_bytes is not None and owner.stored + charge.stored > quotas.owner_bytes:
            raise OwnerFull(quotas.owner_bytes, owner.stored)
    if quotas.owner_unfinished is not None and charge.unfinished > 0 and owner.unfinished >= quotas.owner_unfinished:
        raise TooManyUnfinished(quotas.owner_unfinished)
    if quotas.owner_per_minute is not None and charge.made > 0 and made_in(owner, now) >= quotas.owner_per_minute:
        raise TooManyUploads(quotas.owner_per_minute, seconds=(MINUTE_MS - now % MINUTE_MS) // 1000 + 1)


def made_in(account: Account, now: int) -> int:
    """Count the uploads that were made in the minute of this time."""
    return account.made if account.minute == now - now % MINUTE_MS else 0


def stepped(reached: int, charged: int) -> int:
    """Return the bytes for which an upload of unknown length is charged once it has reached so many."""
    return charged if reached <= charged else -(-reached // STEP_BYTES) * STEP_BYTES
