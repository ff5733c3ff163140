"""`tusfm put`: files from a terminal to any tus server, from where they stopped if they did."""

import argparse
import mimetypes
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tusfm.commands.outcome import Stop
from tusfm.logs import printable
from tusfm.setting_values import url
from tusfm.settings import Settings

if TYPE_CHECKING:
    from tusfm.commands.sending import Endpoint
    from tusfm.commands.showing import Shown

HERE = "http://127.0.0.1:8000"
ENDPOINT = "/files"
NONSENSE = "The server's answer makes no sense."


def add(commands: Any) -> None:  # noqa: ANN401  argparse has no public name for it
    """Add the word to the command line."""
    put = commands.add_parser(
        "put",
        help="upload files; the same command again goes on where it stopped",
        epilog="Prints a line a file: where it is, and its name.",
    )
    put.add_argument("file", nargs="+", type=Path, help="what to upload, one after another")
    put.add_argument("--url", type=_url, help=f"the server (default: TUSFM_PUBLIC_URL, else {HERE})")
    put.add_argument("--token", type=_token, help="bearer token for the server; @FILE reads it from a file")
    put.set_defaults(run=run)


def _url(text: str) -> str | None:
    try:
        return url(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _token(text: str) -> str:
    try:
        token = Path(text[1:]).read_text().strip() if text.startswith("@") else text
    except (OSError, UnicodeDecodeError):
        msg = "the file of the token cannot be read"
        raise argparse.ArgumentTypeError(msg) from None
    if not token.isascii() or not token.isprintable() or " " in token or not token:
        msg = "a token is one word"
        raise argparse.ArgumentTypeError(msg)
    return token


def run(settings: Settings, options: argparse.Namespace) -> None:
    """Upload each file in turn; one that cannot be is told of, and the others go on. Stop."""
    from tusfm.commands.sending import Endpoint  # noqa: PLC0415  tuspy is slow to load
    from tusfm.commands.showing import shown  # noqa: PLC0415  rich is slow to load

    interrupted = _interrupted()
    base = (options.url or settings.public_url or HERE).rstrip("/")
    endpoint_url = base if base.endswith(ENDPOINT) else base + ENDPOINT
    failed = 0
    try:
        with shown() as show:
            endpoint = Endpoint(endpoint_url, options.token, show.say)
            for path in options.file:
                failed += not _put(endpoint, path, show, interrupted)
    except KeyboardInterrupt:
        print("tusfm: Stopped; the same command goes on where it was.", file=sys.stderr)
        raise
    if failed:
        msg = f"{failed} of {len(options.file)} files did not arrive; the same command goes on where it was."
        raise Stop(msg)


def _interrupted() -> list[BaseException]:
    """Return a list that gets what Ctrl-C raised where Python only prints it and goes on: while an object is taken apart."""
    lost: list[BaseException] = []

    def keep(ignored: "sys.UnraisableHookArgs") -> None:
        if isinstance(ignored.exc_value, KeyboardInterrupt):
            lost.append(ignored.exc_value)
        else:
            sys.__unraisablehook__(ignored)

    sys.unraisablehook = keep
    return lost


def _put(endpoint: "Endpoint", path: Path, show: "Shown", interrupted: Sequence[BaseException]) -> bool:
    """Upload a file, and say where it is; False when it could not be. KeyboardInterrupt."""
    name = printable(path.name)
    kind = mimetypes.guess_type(path.name)[0]
    filename = os.fsencode(path.name).decode("utf-8", "replace")
    metadata = {"filename": filename, **({"filetype": kind} if kind else {})}
    try:
        size = _size(path)
        with show.file(name, size) as moved:

            def reached(offset: int) -> None:
                if interrupted:
                    raise KeyboardInterrupt
                moved(offset)

            where = endpoint.send(path, metadata, reached)
    except (Stop, ValueError) as error:  # tuspy takes numbers and URLs in answers as they come
        show.say(f"tusfm: {name}: {error if isinstance(error, Stop) else NONSENSE}")
        return False
    show.done(f"{where}  {printable(str(path))}")
    return True


def _size(path: Path) -> int:
    """Return a file's bytes. Stop, for what is no file."""
    try:
        with path.open("rb"):
            size = path.stat().st_size
    except OSError as error:
        raise Stop(f"{error.strerror}.") from error
    if not path.is_file():
        raise Stop("It is no file.")
    return size
