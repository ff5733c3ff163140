"""How the log is written: a line an event, for a person or for a machine."""

import json
import logging
import sys
import time

ESCAPED = {**{code: f"\\x{code:02x}" for code in (*range(0x20), 0x7F)}, ord("\n"): "\\n"}


class Text(logging.Formatter):
    """A line for a person; control characters are escaped, so that no input can forge a line."""

    default_msec_format = None

    def __init__(self) -> None:
        """Set the shape of a line."""
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's name
        """Escape what is written; a traceback keeps its lines."""
        return super().formatMessage(record).translate(ESCAPED)


class Json(logging.Formatter):
    """A JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Write time, level, logger, message and, if there is one, the traceback."""
        said = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            said["traceback"] = self.formatException(record.exc_info)
        return json.dumps(said)


def configure(shape: str, level: str) -> None:
    """Send the log to standard error in this shape ("text", "json"), from this level on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Json() if shape == "json" else Text())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    logging.getLogger("asyncmy").setLevel(logging.ERROR)  # MariaDB's notes on what is as it should be
