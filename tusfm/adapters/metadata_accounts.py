"""What owners, and the deployment, hold: rows that follow the uploads, in the same transactions.

An upload's row says for how many bytes it is charged and whether it counts as unfinished, so what it gives back at its end
is what it took, whatever the settings are by then. A transaction locks uploads first, then accounts, in order of their names.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

from sqlalchemy.exc import IntegrityError

from tusfm.adapters.databases import Connection, Database, Seen, Work
from tusfm.adapters.metadata_session import Session
from tusfm.domain.errors import OverQuota
from tusfm.domain.quotas import MINUTE_MS, Account, Charge, Quotas, judge, made_in, stepped
from tusfm.domain.upload import Role, State

T = TypeVar("T")
ALL = "*"
NO_LIMITS = Quotas()
ROW = "SELECT state, role, upload_offset, upload_length, owner, charged, counted FROM uploads WHERE id = :id"
ACCOUNTS = (
    "SELECT name, `stored`, unfinished, minute, made, {now} FROM accounts WHERE name IN (:name, :all) "
    "ORDER BY name {for_update}"
)
"""MySQL reserves `stored`, so it stands in quotes, which SQLite reads too."""
OPEN = "INSERT INTO accounts (name, `stored`, unfinished, minute, made) VALUES (:name, 0, 0, 0, 0)"
CHARGE = (
    "UPDATE accounts SET `stored` = `stored` + :stored, unfinished = unfinished + :unfinished, made = :made, "
    "minute = :minute WHERE name = :name"
)
CHARGED = "UPDATE uploads SET charged = :charged, counted = :counted WHERE id = :id"
PAID_BY_PARTIALS = (
    "SELECT COALESCE(SUM(u.charged), 0) FROM uploads u WHERE u.state IN ('receiving', 'finalizing', 'available') "
    "AND u.id IN (SELECT partial_id FROM partials WHERE final_id = :id) AND NOT EXISTS ("
    "SELECT 1 FROM partials p JOIN uploads f ON f.id = p.final_id WHERE p.partial_id = u.id AND f.id <> :id "
    "AND f.state IN ('receiving', 'finalizing', 'available'))"
)
IS_CHARGED = "SELECT 1 FROM uploads WHERE id = :id AND charged IS NOT NULL"
FINALS_CHARGED = (
    "SELECT id FROM uploads WHERE id IN (SELECT final_id FROM partials WHERE partial_id = :id) AND charged IS NOT NULL "
    "ORDER BY id {for_update}"
)
NOT_CHARGED = "charged IS NULL AND writer IS NULL AND state IN ('receiving', 'available')"
UNCHARGED = f"SELECT id FROM uploads WHERE {NOT_CHARGED} LIMIT :limit"
BEGIN_TO_CHARGE = (
    "UPDATE uploads SET charged = 0, epoch = epoch + CASE WHEN state = 'receiving' THEN 1 ELSE 0 END "
    f"WHERE id = :id AND {NOT_CHARGED}"
)
"""The epoch is raised, for a commit of whoever read the row before would not know that it is charged."""


class _NoAccount(Exception):
    """Accounts have to be opened first; the transaction is rolled back."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = names


class _Row(NamedTuple):
    """What an upload's row says of its charge."""

    state: str
    role: str
    offset: int
    length: int | None
    owner: str | None
    charged: int | None
    counted: int


class AccountsSql(Session):
    """Keeps the accounts; without quotas there are none, and no statement is sent."""

    def __init__(self, database: Database, process: str, quotas: Quotas) -> None:
        """Take what a session takes, and what owners and the deployment may hold."""
        super().__init__(database, process)
        self.quotas = quotas
        self.charges = quotas.kept

    async def write(self, work: Work[T], seen: Seen | None = None) -> T:
        """Run a transaction that may charge accounts; those that it lacks are opened. OverQuota."""
        while True:
            try:
                return await self.db.write(work, seen)
            except _NoAccount as lacking:
                for name in lacking.names:
                    await self._open(name)

    async def _open(self, name: str) -> None:
        with contextlib.suppress(IntegrityError):  # somebody else was quicker
            await self.db.write(lambda connection: self.run(connection, OPEN, name=name).rowcount)

    def settle(
        self, connection: Connection, upload_id: str, *, quotas: Quotas | None = None, made: int = 0, reached: int = 0
    ) -> int:
        """Bring the accounts to what the upload's row says now, and return the bytes for which it is charged. OverQuota.

        *reached* is an offset that it is going to have; *made* 1 for a creation. An account is touched only when something
        changes for it. *quotas* in the place of our own.
        """
        row = _Row(*self.run(connection, ROW, id=upload_id).one())
        before = row.charged or 0
        unfinished = int(row.state == State.RECEIVING)
        wanted = self._wanted(connection, upload_id, row, reached)
        charge = Charge(stored=wanted[0] - before, unfinished=unfinished - row.counted, made=made)
        if charge != Charge():
            charge = self._charge(connection, row.owner, [replace(charge, stored=one - before) for one in wanted], quotas)
        if row.charged is None or charge != Charge():
            self.post(connection, CHARGED, id=upload_id, charged=before + charge.stored, counted=unfinished)
        return before + charge.stored

    def _wanted(self, connection: Connection, upload_id: str, row: "_Row", reached: int) -> tuple[int, ...]:
        """Return the bytes for which an upload should be charged, the best first.

        A final is charged for what its partials do not pay already. Of an unknown length steps are charged or, when no whole
        step fits, just what is there.
        """
        if row.state in {State.TERMINATED, State.EXPIRED} or (row.state == State.FAILED and row.role != Role.CHUNKED):
            return (0,)
        if row.role == Role.FINAL:
            return (max(0, (row.length or 0) - int(self.run(connection, PAID_BY_PARTIALS, id=upload_id).scalar_one())),)
        if row.length is not None:
            return (row.length,)
        charged, reached = row.charged or 0, max(row.offset, reached)
        return (stepped(reached, charged), max(reached, charged))

    def _charge(self, connection: Connection, owner: str | None, charges: Sequence[Charge], quotas: Quotas | None) -> Charge:
        """Lock the accounts, and charge them with the first of these that they can bear. OverQuota."""
        name = f"={owner or ''}"
        found = self.run(connection, ACCOUNTS, name=name, all=ALL).all()
        lacking = {name, ALL} - {row[0] for row in found}
        if lacking:
            raise _NoAccount(sorted(lacking))
        accounts = {row[0]: Account(stored=row[1], unfinished=row[2], minute=row[3], made=row[4]) for row in found}
        now = int(found[0][5])
        charge = _bearable(self.quotas if quotas is None else quotas, accounts[name], accounts[ALL], charges, now)
        for one in (ALL, name):
            self.post(
                connection,
                CHARGE,
                name=one,
                stored=charge.stored,
                unfinished=charge.unfinished,
                made=made_in(accounts[one], now) + charge.made,
                minute=now - now % MINUTE_MS,
            )
        return charge

    def resettle(self, connection: Connection, upload_id: str) -> None:
        """Settle, if the upload is charged at all."""
        if self.run(connection, IS_CHARGED, id=upload_id).first() is not None:
            self.settle(connection, upload_id)

    def settle_end(self, connection: Connection, upload_id: str) -> None:
        """Settle for an upload that has just ended, and for finals that it paid for: what is stored is over no limit."""
        finals = [row[0] for row in self.run(connection, FINALS_CHARGED, id=upload_id)]
        self.settle(connection, upload_id)
        for final_id in finals:
            self.settle(connection, final_id, quotas=NO_LIMITS)

    async def charge_older(self, limit: int) -> int:
        """Charge for uploads that were made before accounts were kept; returns how many there were."""
        if not self.charges:
            return 0
        found = await self.db.read(lambda connection: [row[0] for row in self.run(connection, UNCHARGED, limit=limit)])
        return sum([await self._charge_older_one(upload_id) for upload_id in found])

    async def _charge_older_one(self, upload_id: str) -> bool:
        def work(connection: Connection) -> bool:
            if self.run(connection, BEGIN_TO_CHARGE, id=upload_id).rowcount != 1:
                return False
            self.settle(connection, upload_id, quotas=NO_LIMITS)
            return True

        return await self.write(work)


def _bearable(quotas: Quotas, owner: Account, total: Account, charges: Sequence[Charge], now: int) -> Charge:
    for charge in charges[:-1]:
        with contextlib.suppress(OverQuota):
            judge(quotas, owner, total, charge, now)
            return charge
    judge(quotas, owner, total, charges[-1], now)
    return charges[-1]
