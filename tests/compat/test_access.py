"""Who may read a file, and how."""

import json
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from tests.compat.client import BASE, DENIED, NEVER, RETRY, Client, refusal
from tests.conformance.client import noise

SHOWN = {"user_id": "84793", "ключ": "zwei Wörter & mehr", "empty": ""}
CREDENTIAL = json.dumps({**SHOWN, "user_id": 84793})
WRONG = [
    {},
    {"user_id": "84793"},
    {**SHOWN, "user_id": "84794"},
    {**SHOWN, "more": "1"},
    {**SHOWN, "empty": "x"},
    {("User_id" if name == "user_id" else name): value for name, value in SHOWN.items()},
]


async def test_a_private_file_is_read_with_its_credential(client: Client) -> None:
    """`get` and `status` want every pair as the query, in any order; of a key given twice the last counts."""
    file = await client.made(b"hello", credential=CREDENTIAL)
    assert file["credential"] == SHOWN
    for query in (urlencode(SHOWN), urlencode(dict(reversed(SHOWN.items()))), "user_id=1&" + urlencode(SHOWN)):
        got = await client.ask("GET", f"{BASE}/get/{file['id']}", query=query)
        assert {**got.data, "download_url": ""} == {**file, "download_url": ""}
        assert (await client.ask("GET", f"{BASE}/status/{file['id']}", query=query)).data == {"status": "SUCCESS"}


async def test_a_private_file_is_nobody_elses(client: Client) -> None:
    """A credential that is missing, wrong, too long or too short is 403, also for `retry`, whatever the file's status."""
    file = await client.made(b"hello", credential=CREDENTIAL)
    for wrong in WRONG:
        for what in ("get", "status"):
            answer = await client.ask("GET", f"{BASE}/{what}/{file['id']}", query=wrong)
            assert (answer.status, answer.body) == (403, refusal(DENIED))
        answer = await client.post(RETRY, [("file_id", file["id"]), ("credential", json.dumps(wrong))])
        assert (answer.status, answer.body) == (403, refusal(DENIED))
    answer = await client.post(RETRY, [("file_id", file["id"])])
    assert (answer.status, answer.body) == (403, refusal(DENIED))


@pytest.mark.parametrize("credential", ["", "{}"])
async def test_a_public_file_is_everybodys(client: Client, credential: str) -> None:
    """Without a credential, or with an empty one, any query and any credential will do."""
    file = await client.made(b"hello", credential=credential)
    for query in ("", "user_id=1", "a=1&a=2&b"):
        assert (await client.ask("GET", f"{BASE}/get/{file['id']}", query=query)).data == file
    answer = await client.post(RETRY, [("file_id", file["id"]), ("credential", '{"a": 1}')])
    assert (answer.status, answer.body) == (400, refusal("File uploaded previously!"))


UNKNOWN = [
    NEVER,
    "x",
    "%00",
    "a%00b",
    "%2e%2e%2fetc",
    "x" * 300,
    "%FF",
    "%E2%82%AC",
    f"{NEVER}%20",
    f"{NEVER}x",
    "{{file_id}}",
]


@pytest.mark.parametrize("file_id", UNKNOWN)
async def test_an_unknown_file(client: Client, file_id: str) -> None:
    """No such file is 404, whatever its id looks like."""
    for what in ("get", "status"):
        answer = await client.ask("GET", f"{BASE}/{what}/{file_id}")
        assert (answer.status, answer.body) == (404, refusal("Not found!"))
    answer = await client.post_pairs(RETRY, [("file_id", file_id)])
    assert (answer.status, answer.body) == (404, refusal("Not found!"))


async def test_a_files_id_is_found_in_any_letter_case(client: Client) -> None:
    """The old database was blind to it, and clients may rely on that; the upload's id is not the file's."""
    file = await client.made(b"hello")
    spelt = file["id"].upper()
    assert (await client.ask("GET", f"{BASE}/get/{spelt}")).data == file
    assert (await client.ask("GET", f"{BASE}/status/{spelt}/")).data == {"status": "SUCCESS"}
    answer = await client.post(RETRY, [("file_id", spelt)])
    assert (answer.status, answer.body) == (400, refusal("File uploaded previously!"))
    upload_id = file["path"].partition("/")[2].partition(".")[0]
    assert (await client.ask("GET", f"{BASE}/get/{upload_id}")).status == 404


async def test_links(client: Client) -> None:
    """Both kinds of link give the file to whoever has nothing else, as the type that was given; a private one is signed."""
    data = noise(300_000)
    for credential in ("", CREDENTIAL):
        file = await client.made(data, credential=credential, content_type="image/png", file_extension="png")
        answer = await client.ask("GET", file["download_url"])
        assert (answer.status, answer.headers["Content-Type"], answer.body) == (200, "image/png", data)
        link = urlsplit(file["download_url"])
        assert link.path.endswith("/" + file["path"])
        shown = dict(parse_qsl(link.query, keep_blank_values=True))
        assert {name: shown.get(name) for name in SHOWN} == (SHOWN if credential else dict.fromkeys(SHOWN))
        bare = await client.ask("GET", f"{link.scheme}://{link.netloc}{link.path}")
        assert bare.status == (403 if credential else 200)
        if credential:
            forged = file["download_url"].replace("84793", "84794")
            assert (await client.ask("GET", forged)).status == 403


async def test_a_page_may_ask_for_a_link_s_head(client: Client) -> None:
    """A file's link answers HEAD as it would GET, without the bytes, and a page's question whether it may send a Range."""
    url = (await client.made(b"hello", content_type="image/png"))["download_url"]
    head = await client.ask("HEAD", url)
    assert (head.status, head.headers["Content-Length"], head.headers["Content-Type"], head.body) == (
        200,
        "5",
        "image/png",
        b"",
    )
    asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "range"}
    answer = await client.ask("OPTIONS", url, headers=asked)
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) in {(204, "*"), (204, "https://a.example")}


async def test_no_credential_steers_the_storage(client: Client) -> None:
    """Names that mean something to a storage change nothing of what the link gives, and are still the credential."""
    names = ("acl", "tagging", "versionId", "uploadId", "partNumber", "response-content-type", "X-Amz-Expires", "expires")
    pairs = {**dict.fromkeys(names, "1"), "plain": "2"}
    file = await client.made(b"hello", credential=json.dumps(pairs), content_type="image/png")
    answer = await client.ask("GET", file["download_url"])
    assert (answer.status, answer.headers["Content-Type"], answer.body) == (200, "image/png", b"hello")
    shown = dict(parse_qsl(urlsplit(file["download_url"]).query))
    assert shown["plain"] == "2"
    assert (await client.ask("GET", f"{BASE}/get/{file['id']}", query=pairs)).data["credential"] == pairs
