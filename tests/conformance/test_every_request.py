"""G: rules that hold for every request."""

from collections.abc import Sequence

import pytest

from tests.conformance.client import OCTETS, VERSION, Client, patch_head, path_of, request
from tests.conformance.conftest import EACH_STACK, ONE_STACK
from tests.deployments import Deployment, Start

UNKNOWN = "/files/" + "0" * 32
BAD_NUMBERS = ["", "-1", "+5", "05", "1.5", "1e3", "0x10", "\u0661", "1_0", str(2**63), "abc", "1 2", "1,2"]
BAD_IDS = ["x", "0" * 31, "0" * 33, "0" * 31 + "g", "A" * 32, "%2e%2e", "..%2f..", "%00" * 32, "0" * 32 + "%00", "0" * 300]
FORWARDED: list[tuple[dict[str, str], str]] = [
    ({"X-Forwarded-Proto": "https", "X-Forwarded-Host": "a.example"}, "https://a.example"),
    ({"X-Forwarded-Host": "a.example", "X-Forwarded-Port": "8443"}, "http://a.example:8443"),
    ({"X-Forwarded-Prefix": "/up", "X-Forwarded-Host": "a.example"}, "http://a.example/up"),
    ({"Forwarded": "proto=https;host=b.example", "X-Forwarded-Host": "a.example"}, "https://b.example"),
    ({"X-Forwarded-Proto": "javascript", "X-Forwarded-Host": "a b<script>"}, "http://h.example"),
    ({"X-Forwarded-Prefix": "//evil.example"}, "http://h.example"),
    ({"Forwarded": 'host="e vil"'}, "http://h.example"),
]
BROKEN = [
    ({"Tus-Resumable": "9", "Upload-Offset": "x", "Content-Type": "text/plain"}, 412),
    ({"Upload-Offset": "x", "Content-Type": "text/plain"}, 400),
    ({"Upload-Offset": "0", "Content-Type": "text/plain"}, 415),
    ({"Upload-Offset": "2000"}, 413),
    ({"Upload-Offset": "7"}, 404),
]
"""Changes of a right PATCH, each of which breaks one rule less than the one before."""


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("HEAD", UNKNOWN, 404),
        ("PATCH", UNKNOWN, 400),
        ("DELETE", UNKNOWN, 404),
        ("PUT", UNKNOWN, 405),
        ("PUT", "/files/", 405),
        ("GET", "/files/", 405),
        ("GET", UNKNOWN, 404),
        ("POST", "/files/", 400),
        ("OPTIONS", "/files/", 204),
    ],
)
async def test_g1_every_answer_bears_the_version(client: Client, method: str, path: str, status: int) -> None:
    """G1: Tus-Resumable stands in every answer, errors too."""
    answer = await client.ask(method, path)
    assert (answer.status, answer.headers["Tus-Resumable"]) == (status, "1.0.0")


@pytest.mark.parametrize("version", ["0.2.2", "1.0.1", "", "1", "1.0.0,1.0.0", None])
@pytest.mark.parametrize("method", ["POST", "HEAD", "PATCH", "DELETE"])
async def test_g2_another_version_is_412_without_side_effect(client: Client, method: str, version: str | None) -> None:
    """G2: another Tus-Resumable, or none, is 412 with Tus-Version, and nothing changes."""
    url = await client.made(3)
    headers = {"Tus-Resumable": version, "Upload-Offset": "0", "Upload-Length": "3", **OCTETS}
    path = "/files/" if method == "POST" else url
    answer = await client.ask(method, path, headers, b"abc" if method in {"PATCH", "POST"} else None)
    assert (answer.status, answer.headers["Tus-Version"]) == (412, "1.0.0")
    assert (await client.head(url)).offset == 0


@pytest.mark.parametrize(("versions", "status"), [(("1.0.0", "0.2.2"), 412), (("1.0.0", "1.0.0"), 200)])
async def test_g2_of_two_versions_both_count(client: Client, versions: Sequence[str], status: int) -> None:
    """G2: a second Tus-Resumable with another version is 412, whichever comes first; the same one again is none."""
    path = path_of(await client.made(3))
    for order in (versions, versions[::-1]):
        lines = "".join(f"Tus-Resumable: {version}\r\n" for version in order)
        async with client.raw() as raw:
            await raw.send(f"HEAD {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n")
            assert (await raw.answer(empty=True)).status == status


async def test_g2_a_download_needs_no_version_but_no_other(client: Client) -> None:
    """G2: GET without Tus-Resumable is a download; with another version it is 412."""
    url = await client.whole(b"abc")
    assert (await client.ask("GET", url, {"Tus-Resumable": None})).status == 200
    assert (await client.ask("GET", url, {"Tus-Resumable": "0.1"})).status == 412


@pytest.mark.parametrize("version", [None, "1.0.0", "0.0.1", "nonsense"])
async def test_g4_options_ignores_the_version(client: Client, version: str | None) -> None:
    """G4: OPTIONS is answered whatever Tus-Resumable says."""
    assert (await client.ask("OPTIONS", headers={"Tus-Resumable": version})).status == 204


@ONE_STACK
async def test_g5_options_says_what_the_server_can_do(fresh: Start) -> None:
    """G5 to G7: OPTIONS is 204 with versions, extensions without blanks, algorithms and the maximum, and no body."""
    async with Client(fresh(TUSFM_MAX_SIZE="1000").urls) as client:
        answer = await client.ask("OPTIONS")
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["Tus-Version"] == "1.0.0"
    assert answer.headers["Tus-Max-Size"] == "1000"
    assert set(answer.headers["Tus-Checksum-Algorithm"].split(",")) == {"sha1", "sha256", "sha512", "md5", "crc32"}
    assert answer.headers["Tus-Extension"].split(",") == [
        "creation",
        "creation-with-upload",
        "creation-defer-length",
        "checksum",
        "termination",
        "concatenation",
        "concatenation-unfinished",
        "expiration",
    ]


async def test_g5_no_maximum_is_not_announced(client: Client) -> None:
    """G5: Tus-Max-Size stands there only when there is a limit."""
    assert "Tus-Max-Size" not in (await client.ask("OPTIONS")).headers


@pytest.mark.parametrize("method", ["PATCH", "HEAD", "DELETE", "patch"])
async def test_g8_the_override_replaces_the_method(client: Client, method: str) -> None:
    """G8: X-HTTP-Method-Override on POST is the method, version check and all."""
    url = await client.made(3)
    headers = {"X-HTTP-Method-Override": method, "Upload-Offset": "0", **OCTETS}
    refused = await client.ask("POST", url, {**headers, "Tus-Resumable": None}, b"abc")
    assert refused.status == 412
    answer = await client.ask("POST", url, headers, b"abc" if method.upper() == "PATCH" else None)
    assert answer.status == (200 if method == "HEAD" else 204)


async def test_g8_an_override_that_nobody_knows_is_405(client: Client) -> None:
    """G8, G12: an override to an unsupported method is 405 with Allow."""
    answer = await client.ask("POST", await client.made(3), {"X-HTTP-Method-Override": "BREW"})
    assert (answer.status, "PATCH" in answer.headers["Allow"]) == (405, True)


@pytest.mark.parametrize("value", BAD_NUMBERS)
async def test_g9_an_offset_that_is_no_number_is_400(client: Client, value: str) -> None:
    """G9: Upload-Offset is a non-negative decimal integer up to 2^63 - 1."""
    url = await client.made(3)
    async with client.raw() as raw:
        await raw.send(patch_head(path_of(url), value, 3) + b"abc")  # type: ignore[arg-type]
        assert (await raw.answer()).status == 400
    assert (await client.head(url)).offset == 0


@pytest.mark.parametrize("value", BAD_NUMBERS)
async def test_g9_a_length_that_is_no_number_is_400(client: Client, server: Deployment, value: str) -> None:
    """G9: Upload-Length is a non-negative decimal integer up to 2^63 - 1."""
    async with client.raw() as raw:
        await raw.send(request("POST", "/files/", {**VERSION, "Upload-Length": value, "Content-Length": 0}))
        answer = await raw.answer()
    assert answer.status == 400
    assert answer.headers["Tus-Resumable"] == "1.0.0"


async def test_g9_two_lines_that_differ_are_400_and_two_alike_are_one(client: Client) -> None:
    """G9: a number given twice with two values is refused; blanks around a value mean nothing."""
    for second, status in (("5", 400), ("4", 201), ("  4\t", 201)):
        async with client.raw() as raw:
            head = request("POST", "/files/", {**VERSION, "Upload-Length": 4, "upload-length": second, "Content-Length": 0})
            await raw.send(head)
            assert (await raw.answer()).status == status


@EACH_STACK
async def test_g10_a_silent_body_is_ended_and_kept(fresh: Start) -> None:
    """G10: a read that brings nothing for TUSFM_READ_TIMEOUT ends the connection; what came is kept."""
    async with Client(fresh(TUSFM_READ_TIMEOUT="0.5").urls) as client:
        url = await client.made(100)
        async with client.raw() as raw:
            await raw.send(patch_head(path_of(url), 0, 100) + b"x" * 40)
            assert await raw.closed()
        assert await client.offset_after(url, 40) == 40


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("size", [1, 5000, 3_000_000])
async def test_g11_all_that_arrived_of_a_broken_patch_is_kept(client: Client, size: int, reset: bool) -> None:  # noqa: FBT001
    """G11: after FIN in the middle of a PATCH the offset counts every byte that was sent; after RST, what arrived."""
    url = await client.made(size + 10)
    async with client.raw() as raw:
        await raw.send(patch_head(path_of(url), 0, size + 10) + b"y" * size)
        if reset:
            await raw.taken()
            raw.reset()
        else:
            raw.writer.write_eof()
            await raw.closed()
    assert await client.offset_after(url, size) == size


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("size", [5, 60_000])
async def test_g11_a_client_that_leaves_with_its_last_byte_has_finished(client: Client, size: int, reset: bool) -> None:  # noqa: FBT001
    """G11: a PATCH that came whole counts, though its sender did not wait for the answer."""
    for _ in range(10):
        url = await client.made(size)
        async with client.raw() as raw:
            raw.writer.write(patch_head(path_of(url), 0, size) + b"z" * size)
            if reset:
                await raw.taken()
                raw.reset()
            else:
                raw.writer.write_eof()
                await raw.closed()
        assert await client.offset_after(url, size) == size
        assert await client.content(url) == b"z" * size


@pytest.mark.parametrize("method", ["PUT", "TRACE", "CONNECT", "POST"])
async def test_g12_an_unsupported_method_is_405_with_allow(client: Client, method: str) -> None:
    """G12: 405 names the methods that the URL understands."""
    if method == "CONNECT":
        pytest.skip("CONNECT has no path")
    answer = await client.ask(method, await client.made(1))
    assert (answer.status, answer.headers["Allow"]) == (405, "DELETE,GET,HEAD,OPTIONS,PATCH")


@pytest.mark.parametrize("bad", BAD_IDS)
@pytest.mark.parametrize("method", ["HEAD", "GET", "DELETE", "PATCH"])
async def test_g12_an_id_of_another_shape_is_404(client: Client, method: str, bad: str) -> None:
    """G12: traversal, percent-encoded tricks and other shapes are nobody's."""
    async with client.raw() as raw:
        head = {**VERSION, **OCTETS, "Upload-Offset": 0, "Content-Length": 0}
        await raw.send(request(method, f"/files/{bad}", head))
        answer = await raw.answer() if method != "HEAD" else None
        assert answer is None or answer.status == 404
    if method == "HEAD":
        async with client.raw() as raw:
            await raw.send(request(method, f"/files/{bad}", {**VERSION, "Connection": "close"}))
            assert (await raw.reader.read()).startswith(b"HTTP/1.1 404 ")


async def test_g12_a_percent_encoded_unreserved_character_is_the_same_url(client: Client) -> None:
    """G12: the path is decoded once, and once only."""
    url = path_of(await client.made(1))
    once = "/files/" + "".join(f"%{ord(one):02x}" for one in url.rpartition("/")[2])
    async with client.raw() as raw:
        await raw.send(request("HEAD", once, {**VERSION, "Connection": "close"}))
        assert (await raw.reader.read()).startswith(b"HTTP/1.1 200 ")
    async with client.raw() as raw:
        await raw.send(request("HEAD", once.replace("%", "%25"), {**VERSION, "Connection": "close"}))
        assert (await raw.reader.read()).startswith(b"HTTP/1.1 404 ")


async def test_g13_an_error_is_one_plain_sentence(client: Client) -> None:
    """G13: errors are text/plain, one sentence; on HEAD there is no body."""
    answer = await client.ask("DELETE", UNKNOWN)
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert answer.body.decode().strip().count("\n") == 0
    assert answer.body.decode().strip().endswith(".")
    assert (await client.head(UNKNOWN)).body == b""


async def test_g14_location_is_absolute_from_host(client: Client) -> None:
    """G14: Location bears the Host that the client used; forwarded headers are not believed by default."""
    headers = {"Upload-Length": "1", "Host": "up.example:81", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil"}
    answer = await client.ask("POST", headers=headers)
    assert answer.location.startswith("http://up.example:81/files/")


@ONE_STACK
async def test_g14_forwarded_headers_behind_a_proxy(fresh: Start) -> None:
    """G14: behind a proxy Forwarded comes first, then X-Forwarded-…; malformed values fall back."""
    async with Client(fresh(TUSFM_BEHIND_PROXY="1").urls) as client:
        for headers, base in FORWARDED:
            answer = await client.ask("POST", headers={"Upload-Length": "1", "Host": "h.example", **headers})
            assert answer.location.rpartition("/files/")[0] == base, headers


@ONE_STACK
async def test_g14_the_public_url_overrides_all(fresh: Start) -> None:
    """G14: TUSFM_PUBLIC_URL is origin and prefix of every Location."""
    async with Client(fresh(TUSFM_PUBLIC_URL="https://cdn.example/base/", TUSFM_BEHIND_PROXY="1").urls) as client:
        answer = await client.ask("POST", headers={"Upload-Length": "1", "X-Forwarded-Host": "x.example"})
    assert answer.location.startswith("https://cdn.example/base/files/")


@pytest.mark.parametrize("path", ["/files", "/files/"])
async def test_g14_both_forms_of_the_endpoint_create(client: Client, path: str) -> None:
    """G14: the endpoint answers with and without its slash, with no redirect."""
    assert (await client.ask("POST", path, {"Upload-Length": "1"})).status == 201


async def test_g15_statuses_are_exactly_those_that_clients_compare(client: Client) -> None:
    """G15: 201, 204, 200, 204; unknown headers, and those that mean nothing here, are ignored."""
    made = await client.create(3, headers={"X-Unknown": "1", "Upload-Checksum": "sha1 nonsense"})
    patched = await client.patch(made.location, 0, b"abc", {"Upload-Concat": "partial"})
    statuses = [made.status, patched.status, (await client.head(made.location)).status]
    assert [*statuses, (await client.ask("DELETE", made.location)).status] == [201, 204, 200, 204]


async def test_g16_a_refused_request_is_answered_before_its_body(client: Client) -> None:
    """G16: a refusal comes with Connection: close while most of the body was not sent, and the connection ends soon."""
    url = await client.made(10)
    async with client.raw() as raw:
        await raw.send(patch_head(path_of(url), 0, 10**9) + b"x" * 1000)
        answer = await raw.answer()
        assert (answer.status, answer.headers["Connection"]) == (413, "close")
        assert await raw.closed()


@EACH_STACK
async def test_g17_the_first_broken_rule_is_told(fresh: Start) -> None:
    """G17: version, form, type, maximum, then whether the upload is there."""
    async with Client(fresh(TUSFM_MAX_SIZE="1000").urls) as client:
        for change, status in BROKEN:
            answer = await client.ask("PATCH", UNKNOWN, {**OCTETS, "Upload-Offset": "0", **change}, b"abc")
            assert answer.status == status, change


async def test_g17_the_state_comes_before_the_length(client: Client) -> None:
    """G17: a wrong offset is told before a body that is too long."""
    url = await client.made(3)
    assert (await client.patch(url, 1, b"abcdef")).status == 409
    assert (await client.patch(url, 0, b"abcdef")).status == 413


async def test_g17_header_lines_of_32_kib_are_read(client: Client) -> None:
    """G17: a header line of 30,000 bytes is read, one over 32 KiB is 400 in our own words."""
    for size, status in ((30_000, 201), (40_000, 400)):
        async with client.raw() as raw:
            await raw.send(
                request("POST", "/files/", {**VERSION, "Upload-Length": 1, "X-Long": "x" * size, "Content-Length": 0})
            )
            answer = await raw.answer()
            assert (answer.status, answer.headers["Tus-Resumable"]) == (status, "1.0.0")


async def test_answers_say_nothing_of_the_software_behind(client: Client) -> None:
    """G13: no answer names the language, the framework or their versions."""
    for path in ("/files/", UNKNOWN, "/nowhere"):
        headers = (await client.ask("OPTIONS" if path == "/files/" else "GET", path)).headers
        assert "python" not in str(headers).lower()
