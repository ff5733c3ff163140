"""How the log is written: a line an event, for a person or for a machine; lines of one request bear its id."""

import json
import logging
import sys
import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

REQUEST: ContextVar[str | None] = ContextVar("request", default=None)
"""The id of the request that is being answered; tasks that it begins inherit it."""


class Text(logging.Formatter):
    """A line for a person; what is not printable is escaped, so that no input can forge a line or steer a terminal."""

    default_msec_format = None

    def __init__(self) -> None:
        """Set the shape of a line."""
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's name
        """Escape what is written."""
        line = super().formatMessage(record)
        request = REQUEST.get()
        if request is not None:
            line = f"{line} request={request}"
        return printable(line)

    def formatException(self, ei: Any) -> str:  # noqa: N802, ANN401  logging's name and type
        """Set a traceback in, so that none of its lines looks like one of ours: an error's text may be a client's."""
        return "\n".join(f"  {printable(line)}" for line in super().formatException(ei).splitlines())


def printable(text: str) -> str:
    """Escape what is not printable: line ends, terminal sequences, marks that turn the direction of writing."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()


class Json(logging.Formatter):
    """A JSON object a line; nothing but ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        """Write time, level, logger, message and, where there are such, the event's own fields and the traceback."""
        said: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        request = REQUEST.get()
        if request is not None:
            said["request_id"] = request
        fields = getattr(record, "fields", None)
        if isinstance(fields, Mapping):
            said.update(fields)
        if record.exc_info:
            said["traceback"] = self.formatException(record.exc_info)
        return json.dumps(said)


def configure(shape: str, level: str) -> None:
    """Send the log to standard error in this shape ("text", "json"), from this level on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Json() if shape == "json" else Text())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.raiseExceptions = False  # a line that cannot be written, for its disk is full, brings no traceback after it
    for unseen in ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks"):
        setattr(logging, unseen, False)  # what no line shows need not be found out
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)  # a connection that died is told of by whoever needed it
    logging.getLogger("asyncmy").setLevel(logging.ERROR)  # MariaDB's notes on what is as it should be
