"""Server processes on a stack, one or several, as a suite starts them."""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers import ServerProcess, WorkerProcess
from tests.stacks import EmbeddedStack, ProductionStack, Stack, migrated

Start = Callable[..., "Deployment"]
EMBEDDED, PRODUCTION, IN_TURN = "embedded", "production", "three in turn"
"""The last one has a broker and a worker too; in the one before it the server finishes uploads itself."""
STACKS = [EMBEDDED, PRODUCTION]
BUCKET = "tusfm-tests"
PROCESSES = {EMBEDDED: 1, PRODUCTION: 1, IN_TURN: 3}


class Deployment:
    """Processes that share a stack, with a worker where there is a broker."""

    def __init__(
        self,
        folder: Path,
        stack: Stack,
        count: int = 1,
        settings: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        """Take a directory, the stack, how many processes, and their settings and arguments."""
        self.stack = stack
        chosen = {**stack.settings, **(settings or {})}
        self.processes = [ServerProcess(folder / str(number), chosen, arguments) for number in range(count)]
        self.workers = [WorkerProcess(folder / "worker", chosen)] if "RABBITMQ_HOST" in chosen else []

    @property
    def urls(self) -> list[str]:
        """Where the processes are."""
        return [process.url for process in self.processes]

    def start(self) -> None:
        """Start all, and wait until they are ready."""
        for worker in self.workers:
            worker.start(wait=False)
        for process in self.processes:
            process.start(wait=isinstance(self.stack, EmbeddedStack))
        for process in self.processes:
            process.wait()

    def stop(self) -> None:
        """Stop all, at the same time, and see that no traceback was written."""
        processes = [*self.processes, *self.workers]
        for process in processes:
            if process.process is not None:
                process.ask_to_end()
        for process in processes:
            process.__exit__()

    def rows(self) -> int:
        """Count the uploads in the database."""
        return self.stack.rows()

    def objects(self) -> dict[str, int]:
        """List what lies in storage, with sizes."""
        return self.stack.objects()


@contextmanager
def stack_of(kind: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[Stack]:
    """Make a place for a deployment."""
    if kind == EMBEDDED:
        yield EmbeddedStack(folder / "data")
    else:
        with migrated(request.getfixturevalue("mysql_server")) as url:
            stack = ProductionStack(url, request.getfixturevalue("minio_server"), BUCKET)
            if kind == IN_TURN:
                stack.settings |= request.getfixturevalue("rabbitmq_server").settings(f"test-{secrets.token_hex(4)}")
            yield stack
