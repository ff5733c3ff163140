"""The command line: which words there are, and how each ends."""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from tusfm import __version__, logs
from tusfm.commands import access, put, serve, upkeep, uploads, worker
from tusfm.commands.outcome import FAILED, MISUSED, Stop
from tusfm.settings import BadSetting, Settings, load, unknown

ENV_FILE = ".env"

log = logging.getLogger("tusfm")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; whatever goes wrong is a sentence on standard error and an exit status."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and options.run is not worker.run:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    options.celery = rest
    try:
        settings = _settings(options)
        options.run(settings, options)
    except (Stop, BadSetting) as error:
        print(f"tusfm: {error}", file=sys.stderr)
        sys.exit(MISUSED if isinstance(error, BadSetting) else FAILED)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
