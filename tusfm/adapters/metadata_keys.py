"""Rows of API keys; see ports.access.Keys."""

import contextlib
import json

from sqlalchemy.exc import IntegrityError

from tusfm.adapters.metadata_session import Session, milliseconds
from tusfm.adapters.rows import Values
from tusfm.domain.access import Grant
from tusfm.ports.access import Key

ADD = (
    "INSERT INTO api_keys (id, digest, owner, max_size, types, lifetime, made_at, expires_at) "
    "VALUES (:id, :digest, :owner, :max_size, :types, :lifetime, {now}, {now} + :expires)"
)
SELECT = (
    "SELECT id, digest, owner, max_size, types, lifetime, made_at, expires_at, revoked_at, {now} AS seen_at FROM api_keys "
)
REVOKE = "UPDATE api_keys SET revoked_at = {now} WHERE id = :id AND revoked_at IS NULL"


class KeysSql(Session):
    """Implements ports.access.Keys."""

    async def add_key(self, key_id: str, digest: str, grant: Grant, expires_in: float | None) -> None:
        """Insert the row; an id is random, so a row that is there already is this one's, from a lost answer."""
        values = {
            "id": key_id,
            "digest": digest,
            "owner": grant.owner,
            "max_size": grant.max_size,
            "types": None if grant.types is None else json.dumps(grant.types),
            "lifetime": milliseconds(grant.lifetime),
            "expires": milliseconds(expires_in),
        }
        with contextlib.suppress(IntegrityError):
            await self.db.write(lambda connection: self.run(connection, ADD, **values).rowcount)

    async def key(self, key_id: str) -> Key | None:
        """Read one."""
        row = await self.db.read(lambda connection: self.run(connection, SELECT + "WHERE id = :id", id=key_id).first())
        return None if row is None else _key(row)

    async def keys(self) -> list[Key]:
        """Read all."""
        found = await self.db.read(lambda connection: self.run(connection, SELECT + "ORDER BY made_at, id").all())
        return [_key(row) for row in found]

    async def revoke_key(self, key_id: str) -> bool:
        """End a key."""
        return await self.db.write(lambda connection: self.run(connection, REVOKE, id=key_id).rowcount == 1)


def _key(row: Values) -> Key:
    return Key(
        id=row[0],
        digest=row[1],
        grant=Grant(
            owner=row[2],
            max_size=row[3],
            types=None if row[4] is None else tuple(json.loads(row[4])),
            lifetime=None if row[5] is None else row[5] / 1000,
        ),
        made_at=row[6],
        expires_at=row[7],
        revoked_at=row[8],
        seen_at=int(row[9]),
    )
