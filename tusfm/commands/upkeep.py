"""`tusfm migrate`, `sweep` and `check`: what an operator does now and then."""

import argparse
import asyncio
import sys
from typing import Any

from tusfm.commands.outcome import FAILED, Stop
from tusfm.settings import Settings, described


def add(commands: Any) -> None:  # noqa: ANN401  argparse has no public name for it
    """Add the words to the command line."""
    migrate = commands.add_parser("migrate", help="bring the database to the schema that this version needs")
    migrate.set_defaults(run=_migrate)
    sweep = commands.add_parser("sweep", help="free what expired, once and now")
    sweep.add_argument("--orphans", action="store_true", help="name files that no row knows; deletes nothing")
    sweep.set_defaults(run=_sweep)
    check = commands.add_parser("check", help="tell whether each backend can be reached and written to")
    check.add_argument("--settings", action="store_true", help="print every setting with its value, secrets hidden")
    check.set_defaults(run=_check)


def _migrate(settings: Settings, _: argparse.Namespace) -> None:
    from tusfm import wiring  # noqa: PLC0415  not needed for --help and --version

    try:
        print(wiring.migrate(settings))
    except wiring.Unusable as error:
        raise Stop(str(error)) from error


def _sweep(settings: Settings, options: argparse.Namespace) -> None:
    from tusfm import wiring  # noqa: PLC0415  not needed for --help and --version

    async def run() -> None:
        async for line in wiring.sweep(settings, orphans=options.orphans):
            print(line)

    try:
        asyncio.run(run())
    except wiring.Unusable as error:
        raise Stop(str(error)) from error


def _check(settings: Settings, options: argparse.Namespace) -> None:
    if options.settings:
        for name, value, meaning in described(settings):
            print(f"{name}={value}  # {meaning}")
        return
    from tusfm import wiring  # noqa: PLC0415  not needed for --settings

    async def run() -> bool:
        well = True
        async for label, trouble in wiring.check(settings):
            print(f"{label}: {'ok' if trouble is None else trouble}", flush=True)
            well = well and trouble is None
        return well

    try:
        if not asyncio.run(run()):
            sys.exit(FAILED)
    except wiring.Unusable as error:
        raise Stop(str(error)) from error
