"""A server under strace: which calls it made to the kernel, in which order, each with its beginning and its end."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.servers import START_SECONDS, ServerProcess

TRACED = (
    "openat ?mkdir mkdirat ?rename ?renameat renameat2 write writev pwrite64 pwritev pwritev2 sendto sendmsg fsync fdatasync"
)
LINE = re.compile(r"(\d+) +(?:<\.\.\. )?(\w+)(?:\(| resumed>)(.*)")
RESULT = re.compile(r"\) += (-?\d+)")
OCTET = re.compile(r"\\x([0-9a-f]{2})")


@dataclass
class Call:
    """A call: its name, its arguments and result as strace writes them, and the lines at which it began and ended."""

    name: str
    text: str
    began: int
    ended: int
    result: int

    @property
    def path(self) -> str:
        """The path of the open file that it is about; of what opens one, of that."""
        paths: list[str] = re.findall(r"<(/[^>]*)>", self.text)
        return paths[-1 if self.name == "openat" else 0]


class TracedServer(ServerProcess):
    """`tusfm serve`, traced."""

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        """Take a directory of the test's own, and settings for the environment."""
        super().__init__(folder, settings)
        self._trace = folder / "trace"
        calls = ",".join(TRACED.split())
        strace = ["strace", "-D", "-f", "-yy", "-xx", "-s", "400", "--seccomp-bpf", "-e", f"trace={calls}", "-o"]
        self._command = [*strace, str(self._trace), *self._command]

    def calls(self) -> list[Call]:
        """Return the calls of a server that has ended, in the order in which they ended."""
        assert self.process is not None
        end = time.monotonic() + START_SECONDS
        while f"{self.process.pid} +++ exited" not in re.sub(" +", " ", self._trace.read_text()):
            assert time.monotonic() < end, "the trace has no end"
            time.sleep(0.03)
        return list(_calls(self._trace.read_text()))


def _calls(trace: str) -> list[Call]:
    begun: dict[str, tuple[int, str]] = {}
    calls = []
    for number, line in enumerate(trace.splitlines()):
        match = LINE.match(line)
        if match is None:
            continue
        process, name, rest = match.groups()
        text = OCTET.sub(lambda octet: chr(int(octet[1], 16)), rest)
        began, before = begun.pop(process, (number, ""))
        result = RESULT.search(rest)
        if "<unfinished ...>" in rest:
            begun[process] = (number, text)
        elif result is not None:
            calls.append(Call(name, before + text, began, number, int(result[1])))
    return calls
