"""`tusfm uploads`: what an operator sees of uploads, and can do to them."""

import argparse
import contextlib
import json
import sys
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from tusfm.commands.amounts import age, shown_age, shown_size, shown_time, size, word
from tusfm.commands.outcome import Stop
from tusfm.commands.table import print_table
from tusfm.domain import metadata
from tusfm.domain.errors import NotFound
from tusfm.domain.upload import Extent, State, Upload
from tusfm.logs import printable
from tusfm.ports.metadata import Selection
from tusfm.settings import Settings

if TYPE_CHECKING:
    from tusfm.wiring import Engine

PAGE = 50
MOST = 10_000
MOST_DIGITS = 19  # of 2^63
HEADS = ("ID", "STATE", "SIZE", "AGE", "NAME")


def add(commands: Any) -> None:  # noqa: ANN401  argparse has no public name for it
    """Add the words to the command line."""
    uploads = commands.add_parser("uploads", help="list, show and delete uploads")
    words = uploads.add_subparsers(title="commands", required=True, metavar="COMMAND")
    listed = words.add_parser("list", help="list uploads, the newest first")
    listed.add_argument("--state", action="append", choices=[state.value for state in State], help="may be given again")
    listed.add_argument("--owner", type=word, metavar="NAME", help="made by this owner")
    listed.add_argument("--older-than", type=age, metavar="AGE", help="made longer ago than this: 90, 15m, 3h, 2d, 1w")
    listed.add_argument("--younger-than", type=age, metavar="AGE", help="made after that")
    listed.add_argument("--larger-than", type=size, metavar="SIZE", help="of so many bytes or more: 5000, 10MB, 1.5GiB")
    listed.add_argument("--smaller-than", type=size, metavar="SIZE", help="of so many bytes or fewer")
    listed.add_argument("--limit", type=_limit, default=PAGE, metavar="N", help="how many (default: %(default)s)")
    listed.add_argument("--before", type=_mark, metavar="MARK", help="go on where the page before ended; it says how")
    listed.add_argument("--json", action="store_true", help="an object a line")
    listed.set_defaults(run=_list)
    show = words.add_parser("show", help="show all that is known of one upload")
    show.add_argument("id", help="the last part of its URL")
    show.add_argument("--json", action="store_true", help="as an object")
    show.set_defaults(run=_show)
    delete = words.add_parser("delete", help="delete uploads with their bytes, finished or not")
    delete.add_argument("id", nargs="+", help="the last part of an upload's URL")
    delete.add_argument("--yes", action="store_true", help="do not ask")
    delete.set_defaults(run=_delete)


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MOST):
        msg = f"a page has 1 to {MOST} uploads"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _mark(text: str) -> tuple[int, str]:
    time, _, name = text.partition(".")
    if not (time.isascii() and time.isdigit() and len(time) < MOST_DIGITS and name and name.isascii()):
        msg = "a mark is what the page before said at its end"
        raise argparse.ArgumentTypeError(msg)
    return int(time), name


def _list(settings: Settings, options: argparse.Namespace) -> None:
    from tusfm.commands import opening  # noqa: PLC0415  not needed for --help and --version

    selection = Selection(
        states=[State(one) for one in options.state or ()],
        owner=options.owner,
        older=options.older_than,
        younger=options.younger_than,
        smallest=options.larger_than,
        largest=options.smaller_than,
        before=options.before,
        limit=options.limit,
    )

    async def work(engine: "Engine") -> None:
        found = await engine.metadata.select(selection)
        if options.json:
            for upload in found:
                print(json.dumps(_said(upload)))
        else:
            print_table([HEADS, *(_line(upload) for upload in found)])
        if len(found) == selection.limit:
            print(f"There may be more: --before {found[-1].created_at}.{found[-1].id}", file=sys.stderr)

    opening.run(settings, work)


def _line(upload: Upload) -> tuple[str, ...]:
    name = metadata.text(_pairs(upload), "filename", "name") or ""
    return (upload.id, upload.state.value, _size(upload), shown_age(_age(upload)), printable(name))


def _size(upload: Upload) -> str:
    """Say how large it is, or will be, and how much of that is there."""
    if upload.length is None:
        return f"{shown_size(upload.offset)} of ?"
    if upload.offset >= upload.length:
        return shown_size(upload.length)
    return f"{100 * upload.offset // upload.length}% of {shown_size(upload.length)}"


def _age(upload: Upload) -> float:
    return (upload.seen_at - upload.created_at) / 1000


def _pairs(upload: Upload) -> dict[str, bytes | None]:
    try:
        return metadata.parse(upload.metadata)
    except metadata.BadMetadata:
        return {}


def _said(upload: Upload) -> dict[str, object]:
    """Describe an upload: sizes in bytes, times in UTC."""
    return {
        "id": upload.id,
        "state": upload.state.value,
        "role": upload.role.value,
        "owner": upload.owner,
        "offset": upload.offset,
        "length": upload.length,
        "created": shown_time(upload.created_at),
        "expires": shown_time(upload.expires_at),
        "finished": shown_time(upload.finished_at),
        "receiving": upload.writer is not None and upload.writer_alive,
        "attempts": upload.attempts,
        "error": upload.error,
        "object": upload.object_key,
        "metadata": {
            key: None if value is None else value.decode("utf-8", "replace") for key, value in _pairs(upload).items()
        },
    }


def _show(settings: Settings, options: argparse.Namespace) -> None:
    from tusfm.commands import opening  # noqa: PLC0415  not needed for --help and --version

    async def work(engine: "Engine") -> None:
        upload = await engine.metadata.find(options.id)
        if upload is None:
            msg = f"There is no upload {printable(options.id)}."
            raise Stop(msg)
        said = {**_said(upload), "consists_of": _consists_of(await engine.metadata.extents(upload.id))}
        if options.json:
            print(json.dumps(said))
        else:
            _print_fields(said)

    opening.run(settings, work)


def _consists_of(extents: Sequence[Extent]) -> dict[str, int]:
    """Count what an unfinished upload's bytes lie in."""
    kinds = sorted(extent.kind.value for extent in extents)
    return {kind: len(list(group)) for kind, group in groupby(kinds)}


def _print_fields(said: Mapping[str, object], indent: str = "") -> None:
    for name, value in said.items():
        if isinstance(value, Mapping):
            if value:
                print(f"{indent}{name}:")
                _print_fields(value, indent + "  ")
        elif value is not None:
            shown = ("yes" if value else "no") if isinstance(value, bool) else printable(str(value))
            print(f"{indent}{printable(name)}: {shown}")


def _delete(settings: Settings, options: argparse.Namespace) -> None:
    from tusfm.commands import opening  # noqa: PLC0415  not needed for --help and --version

    names = list(dict.fromkeys(options.id))
    if not options.yes:
        _ask(len(names))
    missing: list[str] = []

    async def work(engine: "Engine") -> None:
        for name in names:
            try:
                await engine.uploads.remove(name)
                print(f"{name} is deleted.")
            except NotFound:
                missing.append(printable(name))

    opening.run(settings, work)
    if missing:
        msg = f"There is no upload {', '.join(missing)}, or it has ended before."
        raise Stop(msg)


def _ask(count: int) -> None:
    """Ask whoever sits at the terminal. Stop, when nobody does or they do not want to."""
    if not sys.stdin.isatty():
        msg = "Nobody can be asked here; say --yes to delete without a question."
        raise Stop(msg)
    what = "the upload and its bytes" if count == 1 else f"{count} uploads and their bytes"
    with contextlib.suppress(EOFError):
        if input(f"Delete {what} for good? [y/N] ").strip().lower() in {"y", "yes"}:
            return
    msg = "Nothing was deleted."
    raise Stop(msg)
