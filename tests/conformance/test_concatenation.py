"""N, U: concatenation, of partials that may be unfinished yet."""

import asyncio
import time

import pytest

from tests.conformance.client import OCTETS, Client, encoded, noise, path_of
from tests.deployments import Deployment, Start

PARTIAL = {"Upload-Concat": "partial"}


async def partial(client: Client, data: bytes, *, chunk: int = 10_000_000) -> str:
    """Make a finished partial."""
    url = await client.made(len(data), Upload_Concat="partial")
    for start in range(0, len(data), chunk):
        assert (await client.patch(url, start, data[start : start + chunk])).status == 204
    return url


def final(*urls: str) -> dict[str, str]:
    """Name partials."""
    return {"Upload-Concat": "final;" + " ".join(urls)}


async def finished(client: Client, url: str) -> bytes:
    """Wait for a final, and read it."""
    end = time.monotonic() + 60
    while "Upload-Offset" not in (await client.head(url)).headers:
        assert time.monotonic() < end
        await asyncio.sleep(0.05)
    return await client.content(url)


@pytest.mark.parametrize("sizes", [(3, 4), (0, 5, 0), (2_000_000, 10, 1_500_000), (1,)])
async def test_n4_a_final_is_its_partials_in_order(client: Client, sizes: tuple[int, ...]) -> None:
    """N4: the final's bytes are those of its partials, in the order of the list, which stay as they are."""
    data = [noise(size, seed) for seed, size in enumerate(sizes)]
    urls = [await partial(client, one) for one in data]
    metadata = f"filename {encoded('whole')}"
    answer = await client.ask("POST", headers={**final(*urls), "Upload-Metadata": metadata})
    assert (answer.status, "Upload-Offset" in answer.headers) == (201, False)
    assert await finished(client, answer.location) == b"".join(data)
    head = await client.head(answer.location)
    assert head.headers["Upload-Offset"] == head.headers["Upload-Length"] == str(sum(sizes))
    assert (head.headers["Upload-Metadata"], head.headers["Upload-Concat"]) == (metadata, final(*urls)["Upload-Concat"])


async def test_n2_a_partial_says_what_it_is(client: Client) -> None:
    """N2, N10: HEAD on a partial shows Upload-Concat; it is no file, so GET is 404."""
    url = await partial(client, b"abc")
    assert (await client.head(url)).headers["Upload-Concat"] == "partial"
    assert (await client.ask("GET", url)).status == 404


async def test_n4_relative_urls_prefixes_and_repetition(client: Client) -> None:
    """N4, N12: paths alone are looked at, hosts change behind proxies, and a partial may stand twice."""
    one, two = await partial(client, b"ab"), await partial(client, b"cd")
    urls = (path_of(one), "https://other.example/prefix" + path_of(two), one, path_of(two).rpartition("/")[2])
    answer = await client.ask("POST", headers=final(*urls))
    assert answer.status == 201
    assert await finished(client, answer.location) == b"abcdabcd"


async def test_n5_a_final_has_no_length_and_no_body(client: Client) -> None:
    """N5: Upload-Length on a final is 400, a body is 403."""
    url = await partial(client, b"ab")
    assert (await client.ask("POST", headers={**final(url), "Upload-Length": "2"})).status == 400
    assert (await client.ask("POST", headers={**final(url), **OCTETS}, body=b"ab")).status == 403


async def test_n7_the_same_list_gives_the_same_final(client: Client) -> None:
    """N7: posted again it is the same final; with other metadata, or after its deletion, a new one."""
    urls = [await partial(client, b"ab"), await partial(client, b"cd")]

    async def posted(*urls: str, **more: str) -> str:
        answer = await client.ask("POST", headers={**final(*urls), **more})
        assert answer.status == 201
        return path_of(answer.location)

    first = await posted(*urls)
    assert await posted(*urls) == first
    other = await posted(*urls, **{"Upload-Metadata": "k"})
    assert other != first
    assert await posted(*reversed(urls)) not in {first, other}
    assert (await client.ask("DELETE", first)).status == 204
    again = await posted(*urls)
    assert again != first
    assert await finished(client, again) == b"abcd"


async def test_n8_a_final_takes_no_bytes(client: Client) -> None:
    """N8: PATCH on a final is 403."""
    url = (await client.ask("POST", headers=final(await partial(client, b"ab")))).location
    assert (await client.patch(url, 2, b"x")).status == 403
    assert (await client.patch(url, 0, noise(2_000_000))).status == 403


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("", 400),
        ("final", 400),
        ("final;", 400),
        ("final; ", 400),
        ("partials", 400),
        ("final;/files/", 400),
        ("final;/files/xyz", 400),
        ("final;http://169.254.169.254/latest/meta-data", 400),
        ("final;file:///etc/passwd", 400),
        ("final;/other/" + "0" * 32, 400),
        ("final;/files/" + "0" * 32, 404),
        ("final;http://é.example/files/" + "0" * 32, 400),
        (f"final;/files/{'0' * 32},/files/{'0' * 32}", 400),
        (f"final;/files/{'0' * 32};/files/{'0' * 32}", 400),
        (f"final;/files/{'0' * 32}%20/files/{'0' * 32}", 400),
        (f"final;/files/{'0' * 32}%0a/files/{'0' * 32}", 400),
    ],
)
async def test_n12_what_is_no_partial_of_ours(client: Client, value: str, status: int) -> None:
    """N12: nothing is ever fetched; another path, or a list without blanks, is 400, an unknown upload 404."""
    assert (await client.ask("POST", headers={"Upload-Concat": value, "Upload-Length": None})).status == status


async def test_n12_an_upload_that_is_no_partial_is_400(client: Client) -> None:
    """N12: a whole upload, or another final, cannot be part of a final; a deleted partial is 404."""
    whole, one = await client.whole(b"ab"), await partial(client, b"cd")
    assert (await client.ask("POST", headers=final(one, whole))).status == 400
    made = (await client.ask("POST", headers=final(one))).location
    assert (await client.ask("POST", headers=final(made))).status == 400
    await client.ask("DELETE", one)
    assert (await client.ask("POST", headers=final(one))).status == 404


async def test_n12_a_sum_over_the_maximum_is_413(fresh: Start) -> None:
    """N12: the maximum holds for the sum; nothing is created. A sum that turns out over it later fails the final."""
    server = fresh(TUSFM_MAX_SIZE="10")
    async with Client(server.urls) as client:
        urls = [await partial(client, b"123456"), await partial(client, b"123456")]
        rows = server.rows()
        assert (await client.ask("POST", headers=final(*urls))).status == 413
        assert server.rows() == rows
        late = await client.made(Upload_Concat="partial")
        made = (await client.ask("POST", headers=final(urls[0], late))).location
        await client.patch(late, 0, b"12345", {"Upload-Length": "5"})
        async with asyncio.timeout(60):
            while (await client.head(made)).status != 404:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("size", [5, 2_000_000])
async def test_u1_a_final_may_come_before_its_partials_are_finished(client: Client, size: int) -> None:
    """U1, N10: it completes when the last partial does; until then it has a length as soon as that can be computed."""
    data = noise(size)
    ready = await partial(client, b"ab")
    running, deferred = await client.made(size, Upload_Concat="partial"), await client.made(Upload_Concat="partial")
    known = await client.head((await client.ask("POST", headers=final(ready, running))).location)
    assert (known.headers["Upload-Length"], "Upload-Offset" in known.headers) == (str(size + 2), False)
    url = (await client.ask("POST", headers=final(running, ready, deferred))).location
    head = await client.head(url)
    assert {"Upload-Length", "Upload-Defer-Length", "Upload-Offset"} & set(head.headers) == set()
    assert (await client.ask("GET", url)).status == 409
    await client.patch(running, 0, data[: size // 2])
    await client.patch(running, size // 2, data[size // 2 :])
    await client.patch(deferred, 0, b"z", {"Upload-Length": "1"})
    assert await finished(client, url) == data + b"ab" + b"z"


async def test_u2_a_final_fails_with_its_partial(client: Client) -> None:
    """U2: when a partial of an unfinished final is deleted, the final is 404."""
    one, two = await partial(client, b"ab"), await client.made(3, Upload_Concat="partial")
    url = (await client.ask("POST", headers=final(one, two))).location
    await client.ask("DELETE", two)
    assert (await client.head(url)).status == 404


async def test_u2_a_final_fails_when_its_partial_expires(fresh: Start) -> None:
    """U2, N7: the same when it expires; a finished partial that an unfinished final uses does not expire."""
    server = fresh(TUSFM_EXPIRE_AFTER="3", TUSFM_SWEEP_EVERY="0.2")
    async with Client(server.urls) as client:
        unused, used, running = (
            await partial(client, b"a"),
            await partial(client, b"b"),
            await client.made(1000, Upload_Concat="partial"),
        )
        url = (await client.ask("POST", headers=final(used, running))).location
        offset = 0
        while (await client.head(unused)).status != 404:
            assert (await client.patch(running, offset, b"x")).status == 204
            offset += 1
            await asyncio.sleep(0.3)
        assert [(await client.head(one)).status for one in (used, running, url)] == [200, 200, 200]
        async with asyncio.timeout(60):
            while [(await client.head(one)).status for one in (running, url)] != [404, 404]:
                await asyncio.sleep(0.1)


async def test_n7_deleting_a_used_partial_leaves_a_finished_final(client: Client, server: Deployment) -> None:
    """N7: once a final is available its partials may go; its bytes are its own."""
    one = await partial(client, noise(1_200_000))
    url = (await client.ask("POST", headers=final(one, one))).location
    assert await finished(client, url) == noise(1_200_000) * 2
    assert (await client.ask("DELETE", one)).status == 204
    assert await client.content(url) == noise(1_200_000) * 2
