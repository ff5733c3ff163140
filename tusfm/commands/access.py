"""`tusfm keys` and `tusfm link`: who may upload, and who may read one file."""

import argparse
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

from tusfm.commands.amounts import age, shown_age, shown_size, shown_time, size, word
from tusfm.commands.outcome import Stop
from tusfm.commands.table import print_table
from tusfm.domain.access import Grant, is_owner, limited
from tusfm.domain.upload import is_id
from tusfm.ports.access import Key
from tusfm.ports.metadata import Metadata
from tusfm.settings import Settings

HERE = "http://127.0.0.1:8000"
HEADS = ("ID", "STATE", "MADE", "EXPIRES", "OWNER", "LIMITS")


def add(commands: Any) -> None:  # noqa: ANN401  argparse has no public name for it
    """Add the words to the command line."""
    keys = commands.add_parser("keys", help="make, list and revoke API keys, for TUSFM_AUTH=apikey")
    words = keys.add_subparsers(title="commands", required=True, metavar="COMMAND")
    make = words.add_parser("make", help="make a key, and show it this once")
    make.add_argument("owner", help="whose uploads the key makes, reads and deletes")
    make.add_argument(
        "--valid", type=age, metavar="AGE", help="how long it is good: 90, 15m, 3h, 2d (default: until it is revoked)"
    )
    make.add_argument("--max-size", type=size, metavar="SIZE", help="bytes of one upload: 5000, 10MB, 1.5GiB")
    make.add_argument("--types", metavar="LIST", help="types of files, such as image/*,application/pdf")
    make.add_argument("--expire-after", type=age, metavar="AGE", help="how long an unfinished upload is kept")
    make.set_defaults(run=_make)
    listed = words.add_parser("list", help="list all keys; their secrets are known to nobody but their owners")
    listed.add_argument("--json", action="store_true", help="as JSON, a line a key")
    listed.set_defaults(run=_list)
    revoke = words.add_parser("revoke", help="end a key from now on")
    revoke.add_argument("id", type=word, help="as `tusfm keys list` shows it")
    revoke.set_defaults(run=_revoke)
    link = commands.add_parser("link", help="sign a link with which anybody can read one file, for a time")
    link.add_argument("id", help="the upload: the last part of its URL")
    link.add_argument(
        "--expires", type=age, default="1d", metavar="AGE", help="how long: 90, 15m, 3h, 2d (default: %(default)s)"
    )
    link.add_argument("--url", help=f"where clients see the server (default: TUSFM_PUBLIC_URL, else {HERE})")
    link.set_defaults(run=_link)


def _run(settings: Settings, work: Callable[[Metadata], Awaitable[None]]) -> None:
    """Do something with the rows. Unusable."""
    from tusfm.commands import opening  # noqa: PLC0415  not needed for --help and --version

    opening.run(settings, lambda engine: work(engine.metadata))


def _make(settings: Settings, options: argparse.Namespace) -> None:
    from tusfm.adapters.access_keys import new_key  # noqa: PLC0415  not needed for --help and --version

    grant, made = _grant(options), new_key()

    async def work(metadata: Metadata) -> None:
        await metadata.add_key(made.id, made.digest, grant, options.valid)

    _run(settings, work)
    print(made.text)
    if settings.auth != "apikey":
        print("tusfm: the key opens nothing before TUSFM_AUTH=apikey is set", file=sys.stderr)


def _grant(options: argparse.Namespace) -> Grant:
    if not is_owner(options.owner):
        msg = "An owner's name has 1 to 255 printable characters, and no blanks at its ends."
        raise Stop(msg)
    types = None if options.types is None else [one.strip() for one in options.types.split(",")]
    limits = {"max_size": options.max_size, "types": types, "expire_after": options.expire_after}
    try:
        return limited(options.owner, {name: value for name, value in limits.items() if value is not None})
    except ValueError as error:
        msg = f"The key cannot be made: {error}."
        raise Stop(msg) from error


def _list(settings: Settings, options: argparse.Namespace) -> None:
    async def work(metadata: Metadata) -> None:
        keys = await metadata.keys()
        if options.json:
            for key in keys:
                print(json.dumps(_said(key)))
        else:
            print_table([HEADS, *(_line(key) for key in keys)])

    _run(settings, work)


def _line(key: Key) -> tuple[str, ...]:
    made, expires = shown_time(key.made_at) or "", shown_time(key.expires_at)
    grant = key.grant
    limits = [
        *([] if grant.max_size is None else [f"at most {shown_size(grant.max_size)}"]),
        *([] if grant.types is None else [",".join(grant.types)]),
        *([] if grant.lifetime is None else [f"kept {shown_age(grant.lifetime)}"]),
    ]
    return (key.id, _state(key), made[: len("2026-11-26")], expires or "never", grant.owner, "; ".join(limits))


def _state(key: Key) -> str:
    return "good" if key.good else "revoked" if key.revoked_at else "expired"


def _said(key: Key) -> dict[str, object]:
    """Describe a key without what it is made of."""
    return {
        "id": key.id,
        "state": _state(key),
        "made": shown_time(key.made_at),
        "expires": shown_time(key.expires_at),
        "owner": key.grant.owner,
        "max_size": key.grant.max_size,
        "types": None if key.grant.types is None else ",".join(key.grant.types),
        "expire_after": key.grant.lifetime,
    }


def _revoke(settings: Settings, options: argparse.Namespace) -> None:
    async def work(metadata: Metadata) -> None:
        if not await metadata.revoke_key(options.id):
            msg = "There is no such key, or it was revoked before."
            raise Stop(msg)

    _run(settings, work)


def _link(settings: Settings, options: argparse.Namespace) -> None:
    from tusfm.engine.upload_links import UploadLinks  # noqa: PLC0415  not needed for --help and --version

    base = (options.url or settings.public_url or HERE).rstrip("/")
    expires_at = int(time.time() + options.expires)

    async def work(metadata: Metadata) -> None:
        upload = await metadata.find(options.id) if is_id(options.id) else None
        if upload is None or upload.gone:
            msg = "There is no such upload."
            raise Stop(msg)
        signature = await UploadLinks(metadata).sign(upload.id, expires_at)
        print(f"{base}/files/{upload.id}?{urlencode({'expires': expires_at, 'signature': signature})}")

    _run(settings, work)
