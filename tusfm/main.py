"""The command line: which words there are, and how each ends."""

import argparse
import errno
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from tusfm import __version__, logs
from tusfm.commands import access, put, serve, upkeep, uploads, worker
from tusfm.commands.outcome import FAILED, MISUSED, Stop
from tusfm.settings import BadSetting, Settings, Unusable, load, unknown

ENV_FILE = ".env"
STANDARD_ERROR = 2
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}

log = logging.getLogger("tusfm")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; whatever goes wrong is a sentence on standard error and an exit status."""
    _open_standard_streams()
    try:
        try:
            _run(arguments)
        finally:
            if sys.stdout is not None:  # it is None where the command was started without one
                sys.stdout.flush()  # while a failure can still be told
    except BrokenPipeError:
        _hush()  # whoever read it has enough
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        _hush()
        print(f"tusfm: {error.filename or 'The output'} cannot be written: {error.strerror}.", file=sys.stderr)
        sys.exit(FAILED)


def _open_standard_streams() -> None:
    """Open those that the command was started without (`<&-`), or a socket or a file of ours would be one of them."""
    while (opened := os.open(os.devnull, os.O_RDWR)) <= STANDARD_ERROR:
        pass
    os.close(opened)


def _hush() -> None:
    """Throw away what is still to be written, or Python tells of it at its end."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: Sequence[str] | None) -> None:
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and options.run is not worker.run:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    options.celery = rest
    try:
        settings = _settings(options)
        options.run(settings, options)
    except (Stop, BadSetting, Unusable) as error:
        print(f"tusfm: {error}", file=sys.stderr)
        sys.exit(MISUSED if isinstance(error, BadSetting) else FAILED)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tusfm", description="A server for resumable uploads (tus 1.0.0).")
    parser.add_argument("--version", action="version", version=f"tusfm {__version__}")
    parser.add_argument("--env-file", type=Path, help=f"read settings from this file (default: {ENV_FILE}, if it is there)")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for word in (serve, worker, upkeep, uploads, put, access):
        word.add(commands)
    return parser


def _settings(options: argparse.Namespace) -> Settings:
    chosen = options.env_file or (Path(ENV_FILE) if Path(ENV_FILE).is_file() else None)
    settings = load(os.environ, chosen)
    logs.configure(settings.log_format, settings.log_level)
    for name in unknown(os.environ):
        log.warning("%s is no setting of this version; it is ignored", name)
    return settings
