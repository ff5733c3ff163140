"""What MariaDB reads for an operator, beside many rows."""

from collections.abc import AsyncIterator

import pytest

from tusfm.adapters.metadata_sql import COUNT_UPLOADS, SqlMetadata
from tusfm.adapters.migration import migrate
from tusfm.domain.upload import State
from tusfm.ports.metadata import Selection

ROWS, PAGE = 20_000, 50
MIDDLE = (1_000_000 + ROWS // 2, "filled-0")
FILL = (
    "INSERT INTO uploads "
    "(id, state, role, epoch, upload_offset, metadata, next_part, answers, wanted, lease, attempts, created_at, owner) "
    "SELECT CONCAT('filled-', seq), IF(seq % 5000 = 7, 'failed', 'available'), 'whole', 1, 1000, '', 1, 1, 0, 0, 0, "
    f"1000000 + seq, IF(seq % 5000 = 8, 'rare', 'common') FROM seq_1_to_{ROWS}"
)
PAGES = [
    Selection(limit=PAGE),
    Selection(before=MIDDLE, limit=PAGE),
    Selection(older=3600, limit=PAGE),
    Selection(states=[State.AVAILABLE], limit=PAGE),
    Selection(states=[State.AVAILABLE], before=MIDDLE, limit=PAGE),
    Selection(states=[State.FAILED], limit=PAGE),
    Selection(owner="common", limit=PAGE),
    Selection(owner="common", states=[State.AVAILABLE], before=MIDDLE, limit=PAGE),
    Selection(owner="rare", limit=PAGE),
    Selection(owner="rare", states=[State.AVAILABLE], limit=PAGE),
]


@pytest.fixture
def address(mysql_url: str) -> str:
    """Migrate a database."""
    migrate(mysql_url)
    return mysql_url


@pytest.fixture
async def metadata(address: str) -> AsyncIterator[SqlMetadata]:
    """Fill it, and open it with one connection for reading, whose counters tell of it alone."""
    one = SqlMetadata(address, "one", 1)
    await one.start()
    await one.db.write(lambda connection: connection.execute(FILL).rowcount)
    await one.db.read(lambda connection: connection.execute("ANALYZE TABLE uploads").all())
    yield one
    await one.close()


async def reads(metadata: SqlMetadata) -> int:
    """Count the rows and index entries that were read so far."""
    statement = "SHOW SESSION STATUS LIKE 'Handler_read%'"
    return await metadata.db.read(lambda connection: sum(int(row[1]) for row in connection.execute(statement)))


async def test_a_page_costs_a_page(metadata: SqlMetadata) -> None:
    """Wherever it begins, and whatever is common in it, a page of uploads reads little more than its rows."""
    for selection in PAGES:
        before = await reads(metadata)
        found = await metadata.select(selection)
        is_rare = State.FAILED in selection.states or selection.owner == "rare"
        assert len(found) == (ROWS // 5000 if is_rare else PAGE)
        assert await reads(metadata) - before < 4 * PAGE, selection


async def test_uploads_are_counted_in_an_index(metadata: SqlMetadata) -> None:
    """The census reads entries of an index by state, and no row."""
    statement = f"EXPLAIN {COUNT_UPLOADS}"
    plan = await metadata.db.read(lambda connection: connection.execute(statement).one())
    assert (plan[3], plan[9]) == ("index", "Using index")
