"""Many slow clients beside a fast one: what the fast one keeps of its speed, and what memory it takes.

    python -m benchmarks.slow_clients [CLIENTS]

Then 50,000 creations, and HEAD and creation before and after them.
"""

import asyncio
import resource
import statistics
import sys

from benchmarks.load import MIB, OCTETS, VERSION, Connection, small_files, streams, timed
from benchmarks.servers import Server

SLOW_BYTES = 4096
SECONDS = 15


async def slow(port: int, stop: asyncio.Event) -> int:
    """Send 4 KiB a second until told to stop; returns the bytes sent."""
    async with Connection(port) as connection:
        path = await connection.create(100 * MIB)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"PATCH {path} HTTP/1.1\r\nHost: x\r\n{VERSION}{OCTETS}Upload-Offset: 0\r\nContent-Length: {100 * MIB}\r\n\r\n"
    writer.write(head.encode())
    sent = 0
    while not stop.is_set() and not reader.at_eof():
        writer.write(b"x" * SLOW_BYTES)
        sent += SLOW_BYTES
        await asyncio.sleep(1)
    writer.close()
    return sent


async def beside(count: int) -> None:
    """Print the fast client's share of its speed, and the server's peak of memory."""
    with Server("tusfm") as server:
        alone = statistics.median([await timed(lambda: streams(server.port, 1, 512 * MIB, 512 * MIB)) for _ in range(3)])
        stop = asyncio.Event()
        crowd = [asyncio.create_task(slow(server.port, stop)) for _ in range(count)]
        await asyncio.sleep(SECONDS)
        kept = statistics.median([await timed(lambda: streams(server.port, 1, 512 * MIB, 512 * MIB)) for _ in range(3)])
        stop.set()
        sent = await asyncio.gather(*crowd)
        _, peak = server.cost()
    print(f"{count} clients at 4 KiB/s ({min(sent)} bytes or more each): a fast one keeps {kept / alone:.2f} of its speed")
    print(f"peak of memory beside them: {peak} MiB")


async def ageing() -> None:
    """Print HEAD and creation before and after 50,000 creations."""
    with Server("tusfm") as server:
        async with Connection(server.port) as connection:
            path = await connection.create(100)

        async def figures() -> tuple[float, float]:
            async with Connection(server.port) as connection:
                head = statistics.median([await connection.head(path) for _ in range(1000)]) * 1000
            return head, await timed(lambda: small_files(server.port, 1000, 0, 16, by_patch=False))

        before = await figures()
        await small_files(server.port, 50_000, 0, 16, by_patch=False)
        after = await figures()
        _, peak = server.cost()
    print(f"HEAD before 50,000 creations and after: {before[0]:.2f} ms, {after[0]:.2f} ms; peak {peak} MiB")
    print(f"finished empty uploads a second before and after: {before[1]:.0f}, {after[1]:.0f}")


async def main() -> None:
    """Run both."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    await beside(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
    await ageing()


if __name__ == "__main__":
    asyncio.run(main())
