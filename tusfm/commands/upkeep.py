"""`tusfm migrate`, `sweep` and `check`: what an operator does now and then."""

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING, Any

from tusfm.commands.outcome import FAILED
from tusfm.commands.progress import Line, Sweeping
from tusfm.settings import Settings, described

if TYPE_CHECKING:
    from tusfm.wiring import Engine


def add(commands: Any) -> None:  # noqa: ANN401  argparse has no public name for it
    """Add the words to the command line."""
    migrate = commands.add_parser("migrate", help="bring the database to the schema that this version needs")
    migrate.set_defaults(run=_migrate)
    sweep = commands.add_parser("sweep", help="free what expired, once and now")
    only = sweep.add_mutually_exclusive_group()
    only.add_argument("--orphans", action="store_true", help="name files that the database does not know; deletes nothing")
    only.add_argument("--dry-run", action="store_true", help="say how much there is to do; changes nothing")
    sweep.set_defaults(run=_sweep)
    check = commands.add_parser("check", help="tell whether each backend can be reached and written to")
    check.add_argument("--settings", action="store_true", help="print every setting with its value, secrets hidden")
    check.set_defaults(run=_check)


def _migrate(settings: Settings, _: argparse.Namespace) -> None:
    from tusfm import wiring  # noqa: PLC0415  not needed for --help and --version

    with Line() as line:
        said = wiring.migrate(settings, lambda count: line.tell(lambda: f"{count} files of the old service are taken over"))
    print(said)


def _sweep(settings: Settings, options: argparse.Namespace) -> None:
    from tusfm.commands import opening  # noqa: PLC0415  not needed for --help and --version

    async def work(engine: "Engine") -> None:
        if options.orphans:
            async for key in engine.sweep.orphans():
                print(key)
            return
        with Line() as line:
            engine.sweep.watch = Sweeping(line)
            done = await (engine.sweep.preview() if options.dry_run else engine.sweep.sweep())
        for what, count in done.items():
            print(f"{what}: {count}")

    opening.run(settings, work)


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

    if not asyncio.run(run()):
        sys.exit(FAILED)
