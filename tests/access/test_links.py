"""Signed links, keys on the command line, and what a token does in the middle of an upload."""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.access.conftest import BY_KEY, BY_TOKEN, Door
from tests.access.tokens import token
from tests.conformance.client import Client, noise, origin_form, patch_head, path_of

ROOT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.xdist_group("access")


def tusfm(door: Door, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command beside the servers."""
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **door.stack.settings, "TUSFM_AUTH": "apikey"}
    command = [sys.executable, "-m", "tusfm", *arguments]
    done = subprocess.run(
        command, cwd=door.open_.folder, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in done.stderr
    return done


async def test_a_link_opens_one_file_for_a_time(door: Door, open_client: Client, strict_client: Client) -> None:
    """Whoever has a link may read the file, in ranges too, on every process; nobody may do more with it."""
    url = (await open_client.create(5, b"hello", door.headers("owner"))).location
    link = tusfm(door, "link", url.rpartition("/")[2], "--url", "https://files.example/x/").stdout.strip()
    assert link.startswith(f"https://files.example/x{path_of(url)}?expires=")
    opened = f"{path_of(url)}?{urlsplit(link).query}"
    for client in (open_client, strict_client):
        answer = await client.ask("GET", opened, {"Range": "bytes=1-2", "Tus-Resumable": None})
        assert (answer.status, answer.body) == (206, b"el")
        assert (await client.ask("GET", opened, door.headers("stranger"))).status == 200
        assert (await client.ask("DELETE", opened)).status == 401
    assert (await strict_client.ask("HEAD", opened)).status == 401


async def test_a_link_that_is_not_ours(door: Door, open_client: Client) -> None:
    """Another file, another time, another signature, or none: 403; a link whose time is over, too."""
    one = (await open_client.create(5, b"hello", door.headers("owner"))).location
    other = path_of((await open_client.create(5, b"world", door.headers("owner"))).location)
    query = urlsplit(tusfm(door, "link", one.rpartition("/")[2], "--expires", "1000").stdout.strip()).query
    expires, signature = parse_qs(query)["expires"][0], parse_qs(query)["signature"][0]
    path = path_of(one)
    assert (await open_client.ask("GET", f"{path}?{query}")).status == 200
    wrong = [
        f"{other}?{query}",
        f"{path}?expires={int(expires) + 1}&signature={signature}",
        f"{path}?expires={expires}0000000000&signature={signature}",
        f"{path}?expires=%D9%A1&signature={signature}",
        f"{path}?signature={signature}",
        f"{path}?expires={expires}&signature=",
        f"{path}?expires={expires}&signature={signature[:-1]}",
        f"{path}?expires={expires}&signature={'é' * 43}",
        f"{path}?expires={expires}&signature=%FF%00",
    ]
    for url in wrong:
        answer = await open_client.ask("GET", url, door.headers("owner"))
        assert (answer.status, answer.body) == (403, b"This link is not valid, or not any more.\n"), url
    query = urlsplit(tusfm(door, "link", one.rpartition("/")[2], "--expires", "1").stdout.strip()).query
    end = time.monotonic() + 60
    while (await open_client.ask("GET", f"{path}?{query}")).status == 200:
        assert time.monotonic() < end
        await asyncio.sleep(0.2)


async def test_links_of_nothing(door: Door) -> None:
    """A link to what is not there is a sentence."""
    for name in ("0" * 32, "../x"):
        done = tusfm(door, "link", name)
        assert (done.returncode, done.stderr) == (1, "tusfm: There is no such upload.\n")


@BY_KEY
async def test_keys_on_the_command_line(door: Door, open_client: Client) -> None:
    """A key is shown once, listed without its secret, and ends everywhere when it is revoked."""
    made = tusfm(door, "keys", "make", "carol", "--types", "image/*", "--max-size", "10", "--valid", "600")
    key = made.stdout.strip()
    own = {"Authorization": f"Bearer {key}"}
    assert (await open_client.create(5, headers={**own, "Upload-Metadata": "filetype aW1hZ2UvcG5n"})).status == 201
    heads, *lines = tusfm(door, "keys", "list").stdout.splitlines()
    assert heads.split() == ["ID", "STATE", "MADE", "EXPIRES", "OWNER", "LIMITS"]
    (line,) = [line for line in lines if "carol" in line]
    assert line.endswith("carol  at most 10 B; image/*")
    listed = [json.loads(line) for line in tusfm(door, "keys", "list", "--json").stdout.splitlines()]
    mine = next(one for one in listed if one["owner"] == "carol")
    assert (mine["state"], mine["max_size"], mine["types"]) == ("good", 10, "image/*")
    assert key.rpartition("_")[2] not in json.dumps(listed)
    assert tusfm(door, "keys", "revoke", mine["id"]).returncode == 0
    assert (await open_client.create(5, headers=own)).status == 401
    assert tusfm(door, "keys", "revoke", mine["id"]).stderr == "tusfm: There is no such key, or it was revoked before.\n"
    assert tusfm(door, "keys", "make", " carol").returncode == 1
    assert tusfm(door, "keys", "make", "carol", "--types", "png").returncode == 1


@BY_TOKEN
async def test_a_token_that_ends_in_the_middle(door: Door, strict_client: Client) -> None:
    """A PATCH that was let in goes on to its end, though every request after its token's end is 401."""
    own = {"Authorization": f"Bearer {token(sub='bob', exp=int(time.time()) - 25)}"}  # five seconds of the skew are left
    data = noise(300_000)
    made = await strict_client.create(len(data), headers=own)
    assert made.status == 201
    async with strict_client.raw() as raw:
        await raw.send(patch_head(origin_form(made.location), 0, len(data), **own))
        await raw.send(data[:100_000])
        end = time.monotonic() + 60
        while (await strict_client.ask("HEAD", made.location, own)).status != 401:
            assert time.monotonic() < end
            await asyncio.sleep(0.2)
        await raw.send(data[100_000:])
        assert (await raw.answer(30)).status == 204
    answer = await strict_client.ask("GET", made.location, door.headers("owner"))
    assert (answer.status, answer.body) == (200, data)
