"""What only S3 has: servers that refuse, fail, are silent or slow, and the ways to speak to them."""

import asyncio
import datetime as dt
import os
import socket
import urllib.error
import urllib.request
from collections.abc import Awaitable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.session import get_session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.ports.conftest import BUCKET, content, file_key, in_bucket
from tests.services.s3 import KEY, SECRET, MinioProcess, S3Server, binary
from tests.services.s3_proxy import S3Proxy
from tusfm.adapters import s3_requests, storage_s3
from tusfm.adapters.s3_errors import ADVICE
from tusfm.adapters.s3_requests import Patience, S3Address
from tusfm.adapters.storage_s3 import S3Place, S3Storage
from tusfm.domain.errors import BytesLost, StorageFull, StorageUnavailable
from tusfm.domain.upload import new_id
from tusfm.ports.storage import Part

MIB = 1024 * 1024


@pytest.fixture
def proxy(minio_server: S3Server) -> Iterator[S3Proxy]:
    """Put a proxy before MinIO."""
    with S3Proxy(minio_server) as one:
        yield one


HASTY = Patience(silence=0.5, deadline=3, long=3)
"""Waits for less long than an operator would want."""
RESTLESS = Patience(silence=0.5, deadline=60)
"""Begins silent requests again soon, and gives none up: a machine that stands still is silent, too."""


class TestFailures:
    """A failure that may pass is tried again, until its time is over."""

    @pytest.mark.parametrize("how", ["error", "slow down", "cut", "stall"])
    @pytest.mark.parametrize("after", [False, True])
    async def test_it_is_tried_again(self, proxy: S3Proxy, how: str, *, after: bool) -> None:
        """Whatever becomes of the first try of a request, applied or not, the second one does it."""
        async with in_bucket(proxy.proxied, patience=RESTLESS) as storage:
            key, other = file_key(), file_key()
            for operation in ("PutObject", "CreateMultipartUpload", "UploadPart", "HeadObject", "GetObject"):
                proxy.fail(operation, how, after=after)
            await storage.put(key, [b"abc"])
            name = await storage.begin(other)
            part = Part(1, await storage.put_part(other, name, 1, [b"x" * MIB] * 6))
            await storage.complete(other, name, [part])
            assert await storage.size(other) == 6 * MIB
            assert await content(storage, key, 0, 3) == b"abc"
            assert all(fault.seen >= 2 or fault.operation == "GetObject" for fault in proxy.faults)
            await proxy.let_go()

    async def test_a_slow_storage_is_not_asked_again(self, proxy: S3Proxy) -> None:
        """Bytes may take longer than any silence, and so may waiting for others' bytes: each is sent once."""
        one_at_a_time = replace(proxy.proxied.address, connections=1, patience=Patience(silence=2, deadline=4))
        storage = S3Storage(one_at_a_time, S3Place(bucket=BUCKET, prefix=f"{new_id()}/"))
        await storage.start()
        proxy.slow = 0.06
        keys = [file_key() for _ in range(3)]
        await asyncio.gather(*(storage.put(key, [b"x" * 16 * 1024] * 512) for key in keys))
        assert (proxy.counts["PutObject"], [await storage.size(key) for key in keys]) == (3, [8 * MIB] * 3)
        await storage.delete(keys)
        await storage.close()

    async def test_a_silent_storage_keeps_nobody_waiting_for_a_connection(self, proxy: S3Proxy) -> None:
        """However many wait for the few connections, all hear that the storage is away, and none in turn after the others."""
        address = replace(proxy.proxied.address, connections=1, patience=Patience(silence=0.3, deadline=1))
        storage = S3Storage(address, S3Place(bucket=BUCKET, prefix=f"{new_id()}/"))
        await storage.start()
        proxy.fail("PutObject", "stall", many=1000)
        async with asyncio.timeout(30):  # one after the other, forty would take forty seconds
            calls = [storage.put(file_key(), [b"x"]) for _ in range(40)]
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(one) for one in outcomes} == {StorageUnavailable}
        await proxy.let_go()
        await storage.close()

    async def test_an_answer_to_completing_that_was_lost(self, proxy: S3Proxy) -> None:
        """The second try finds no multipart upload (or succeeds), and the object is there."""
        async with in_bucket(proxy.proxied) as storage:
            key = file_key()
            name = await storage.begin(key)
            part = Part(1, await storage.put_part(key, name, 1, [b"abc"]))
            proxy.fail("CompleteMultipartUpload", "cut", after=True)
            with pytest.raises(BytesLost):
                await storage.complete(key, name, [part])
            assert await storage.size(key) == 3

    async def test_the_time_ends(self, proxy: S3Proxy) -> None:
        """A storage that never gets well is StorageUnavailable, in a sentence without an address."""
        async with in_bucket(proxy.proxied, patience=HASTY) as storage:
            for how in ("slow down", "cut", "stall"):
                fault = proxy.fail("", how, many=1000)
                calls = (storage.put(file_key(), [b"x"]), storage.size(file_key()), storage.begin(file_key()))
                for raised in await asyncio.gather(*calls, return_exceptions=True):
                    assert type(raised) is StorageUnavailable
                    assert "the storage" in str(raised)
                    assert "127.0.0.1" not in str(raised)
                proxy.faults.remove(fault)
            await proxy.let_go()

    async def test_what_no_retry_ends_is_not_tried_again(self, proxy: S3Proxy) -> None:
        """A refusal costs one request, and says what to do."""
        async with in_bucket(proxy.proxied) as storage:
            fault = proxy.fail("PutObject", "forbidden", many=100)
            with pytest.raises(StorageUnavailable, match="need the right to read, write, list and delete"):
                await storage.put(file_key(), [b"x" * MIB])
            assert fault.seen == 1

    async def test_no_room(self, proxy: S3Proxy) -> None:
        """A full storage is StorageFull."""
        async with in_bucket(proxy.proxied) as storage:
            proxy.fail("PutObject", "full", many=100)
            with pytest.raises(StorageFull):
                await storage.put(file_key(), [b"x"])

    async def test_bytes_that_change_on_their_way_are_refused(
        self, minio_server: S3Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Over plain http the storage holds the bytes against their CRC-32."""
        async with in_bucket(minio_server) as storage:
            key = file_key()
            monkeypatch.setattr(s3_requests, "checksum", lambda _: "AAAAAA==")
            with pytest.raises(StorageUnavailable):
                await storage.put(key, [b"abc"])
            assert await storage.size(key) is None

    async def test_a_read_that_is_cut_goes_on(self, minio_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
        """A reader that leaves a piece lying holds no connection, and gets all bytes when it goes on."""
        monkeypatch.setattr(storage_s3, "SLOW_SECONDS", 0.2)
        async with in_bucket(minio_server) as storage:
            key, data = file_key(), os.urandom(20 * MIB)
            await storage.put(key, [data])
            got = []
            async for piece in storage.read(key, 0, len(data)):
                got.append(piece)
                if len(got) in {1, 5}:
                    reading = storage._requests._reading
                    assert reading is not None
                    async with asyncio.timeout(60):
                        while reading.connector._acquired:  # type: ignore[union-attr]
                            await asyncio.sleep(0.05)
            assert b"".join(got) == data

    async def test_an_object_that_became_shorter(self, minio_server: S3Server) -> None:
        """Reading beyond an object's end is BytesLost."""
        async with in_bucket(minio_server) as storage:
            key = file_key()
            await storage.put(key, [b"abc"])
            for start, length in ((0, 4), (3, 1), (10, 10)):
                with pytest.raises(BytesLost):
                    await content(storage, key, start, length)


class TestRefusals:
    """Settings that do not go together with the server's."""

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            ({"access_key": "nobody"}, "does not know the access key"),
            ({"secret_key": "wrong"}, "does not accept the secret key"),
            ({"session_token": "wrong"}, "the storage"),
        ],
    )
    async def test_wrong_keys(self, minio_server: S3Server, wrong: dict[str, Any], said: str) -> None:
        """They are told apart, and neither stands in the sentence."""
        storage = S3Storage(replace(minio_server.address, **wrong), S3Place(bucket=BUCKET))
        await storage.start()
        for call in (storage.put(file_key(), [b"x"]), storage.begin(file_key()), storage.delete(["work/x"])):
            with pytest.raises(StorageUnavailable, match=said) as raised:
                await call
            assert not any(value in str(raised.value) for value in (minio_server.secret, *wrong.values()) if value != "wrong")
        await storage.close()

    async def test_a_bucket_that_is_gone(self, minio_server: S3Server) -> None:
        """Nothing is lost for good: every call is StorageUnavailable, also the one whose 404 has no words."""
        async with in_bucket(minio_server) as storage:
            place, storage._place = storage._place, replace(storage._place, bucket="tusfm-was-removed")
            calls: list[Awaitable[object]] = [storage.put(file_key(), [b"x"]), storage.size(file_key())]
            calls += [content(storage, file_key(), 0, 1)]
            calls += [storage.put_part(file_key(), "x", 1, [b"x"]), storage.complete(file_key(), "x", [Part(1, "x")])]
            for call in calls:
                with pytest.raises(StorageUnavailable, match="the bucket"):
                    await call
            storage._place = place

    async def test_no_keys_at_all(self, minio_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without keys, and without any in AWS's chain, the sentence says which to set."""
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        storage = S3Storage(S3Address(endpoint=minio_server.url), S3Place(bucket=BUCKET))
        await storage.start()
        with pytest.raises(StorageUnavailable, match="set MINIO_ACCESS_KEY"):
            await storage.put(file_key(), [b"x"])
        await storage.close()


class TestWays:
    """The ways to speak to a server, and to be known to it."""

    async def test_keys_of_the_environment(self, minio_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without keys of ours AWS's default chain is asked."""
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", minio_server.key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", minio_server.secret)
        await self.works(S3Address(endpoint=minio_server.url))

    async def test_a_session_token(self, minio_server: S3Server) -> None:
        """Temporary keys work with their token."""
        session = get_session()
        keys = {"aws_access_key_id": minio_server.key, "aws_secret_access_key": minio_server.secret}
        async with session.create_client("sts", "us-east-1", endpoint_url=minio_server.url, **keys) as sts:
            got = (await sts.assume_role(RoleArn="arn:xxx:xxx:xxx:xxxx", RoleSessionName="test"))["Credentials"]
        address = S3Address(
            endpoint=minio_server.url,
            access_key=got["AccessKeyId"],
            secret_key=got["SecretAccessKey"],
            session_token=got["SessionToken"],
        )
        await self.works(address)

    async def works(self, address: S3Address, place: S3Place | None = None) -> None:
        """Go through all that `tusfm check` tries."""
        storage = S3Storage(address, place or S3Place(bucket=BUCKET))
        await storage.start()
        try:
            for _, trial in storage.checks():
                await trial()
        finally:
            await storage.close()

    async def test_https_and_the_bucket_in_the_host_name(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A certificate of one's own is trusted by a setting; virtual hosts work, in another region too."""
        resolve = socket.getaddrinfo  # names under localhost are loopback's (RFC 6761), and not every libc knows it
        monkeypatch.setattr(socket, "getaddrinfo", lambda _, *rest, **more: resolve("127.0.0.1", *rest, **more))
        if binary("minio") is None:
            pytest.skip("MinIO is missing")
        certificates = tmp_path / "certificates"
        certificates.mkdir()
        _certify(certificates)
        more = {"MINIO_DOMAIN": "localhost", "MINIO_SITE_REGION": "eu-central-1", "SSL_CERT_FILE": ""}
        process = MinioProcess(tmp_path, more, ["--certs-dir", str(certificates)])
        process.start()
        try:
            address = S3Address(
                endpoint=f"https://localhost:{process.port}",
                region="eu-central-1",
                access_key=KEY,
                secret_key=SECRET,
                ca_file=str(certificates / "public.crt"),
            )
            await self.works(address)
            await self.works(replace(address, virtual_host=True))
            await self.works(address, S3Place(bucket="made-in-another-region"))
            with pytest.raises(StorageUnavailable, match="TUSFM_S3_REGION"):
                await self.works(replace(address, region="us-west-2"))
        finally:
            process.kill()

    async def test_encryption_and_storage_class(self, minio_server: S3Server) -> None:
        """Both are asked of the storage, for parts as for small files; working objects have the usual class."""
        async with in_bucket(minio_server, encryption="AES256", storage_class="REDUCED_REDUNDANCY") as storage:
            small, large, tail = file_key(), file_key(), f"work/{new_id()}/t/1-1"
            await storage.put(small, [b"x"])
            await storage.put(tail, [b"x"])
            name = await storage.begin(large)
            await storage.complete(large, name, [Part(1, await storage.put_part(large, name, 1, [b"x"]))])
            for key, kept in ((small, "REDUCED_REDUNDANCY"), (large, "REDUCED_REDUNDANCY"), (tail, None)):
                answer = await storage._requests.call("head_object", storage._object(key))
                assert answer["ServerSideEncryption"] == "AES256"
                assert answer.get("StorageClass") == kept


KEPT = ["private/x.txt", "public/x.txt"]


class TestBuckets:
    """Buckets are made when they are missing."""

    async def test_they_are_made_and_the_public_one_is_public(self, minio_server: S3Server) -> None:
        """Anyone can read a file in the public bucket by its URL, nobody one in the private bucket."""
        name = f"tusfm-{new_id()[:8]}"
        place = S3Place(bucket=name, private=name, public=f"{name}-public")
        for _ in range(2):  # the second start finds them
            storage = S3Storage(minio_server.address, place)
            await storage.start()
            await storage.close()
        await storage._requests.start()
        for key in KEPT:
            await storage.put(key, [b"hello"])
        url = f"{minio_server.url}/{name}-public/x.txt"
        assert await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=60).read()) == b"hello"
        with pytest.raises(urllib.error.HTTPError, match="403"):
            await asyncio.to_thread(urllib.request.urlopen, url.replace("-public", ""), timeout=60)
        await storage.delete(KEPT)
        for bucket in (name, f"{name}-public"):
            await storage._requests.call("delete_bucket", {"Bucket": bucket})
        await storage._requests.close()

    @pytest.mark.parametrize(("first", "asked"), [(1, 1), (2, 2)])
    async def test_a_policy_that_cannot_be_set_is_said(
        self, proxy: S3Proxy, caplog: pytest.LogCaptureFixture, first: int, asked: int
    ) -> None:
        """Where the keys may not open the public bucket, one line says so; a policy that may not be read is not replaced."""
        proxy.fail("BucketPolicy", "forbidden", first=first)
        public = f"{BUCKET}-{new_id()[:8]}"
        storage = S3Storage(proxy.proxied.address, S3Place(bucket=BUCKET, public=public))
        await storage.start()
        while not (said := [one for one in caplog.messages if "policy" in one]):  # the start waits a second for it only
            await asyncio.sleep(0.05)
        assert (len(said), proxy.counts["BucketPolicy"]) == (1, asked)
        assert said[0].startswith(f"links to files in {public} will not open, for its policy cannot be set")
        key = file_key()
        await storage.put(key, [b"x"])
        await storage.delete([key])
        await storage._requests.call("delete_bucket", {"Bucket": public})
        await storage.close()

    async def test_a_wrong_secret_is_said(self, minio_server: S3Server, caplog: pytest.LogCaptureFixture) -> None:
        """With a key that is good for nothing the log says so, and not only that links will not open."""
        storage = S3Storage(replace(minio_server.address, secret_key="wrong"), S3Place(bucket=BUCKET, public=BUCKET))
        await storage.start()
        while f"waiting for the storage: {ADVICE['SignatureDoesNotMatch']} (SignatureDoesNotMatch)" not in caplog.messages:
            await asyncio.sleep(0.05)
        await storage.close()
        assert not [said for said in caplog.messages if said.startswith("links")]

    async def test_a_storage_that_is_away_at_the_start(self, tmp_path: Path) -> None:
        """The start does not wait for it, and its buckets are made when it comes."""
        if binary("minio") is None:
            pytest.skip("MinIO is missing")
        process = MinioProcess(tmp_path)
        storage = S3Storage(process.server.address, S3Place(bucket="tusfm-later"))
        await storage.start()
        await asyncio.to_thread(process.start)
        try:
            async with asyncio.timeout(60):
                assert storage._making is not None
                await storage._making
            await storage.put(file_key(), [b"x"])
        finally:
            await storage.close()
            process.kill()

    async def test_more_keys_than_one_page_has(self, minio_server: S3Server) -> None:
        """Listing and deleting go on behind a thousand keys."""
        async with in_bucket(minio_server) as storage:
            keys = [f"work/{number:08d}/t/1-1" for number in range(1100)]
            for at in range(0, len(keys), 50):
                await asyncio.gather(*(storage.put(key, [b"x"]) for key in keys[at : at + 50]))
            assert {key async for key in storage.keys("work/")} == set(keys)
            await storage.delete(keys)
            assert [key async for key in storage.keys("work/")] == []

    async def test_multipart_uploads_of_others_are_not_seen(self, minio_server: S3Server) -> None:
        """Listing gives the multipart uploads under our prefix only."""
        async with in_bucket(minio_server) as ours, in_bucket(minio_server) as theirs:
            key = file_key()
            name, other = await ours.begin(key), await theirs.begin(key)
            assert [one async for one in ours.multiparts("files/")] == [(key, name)]
            await ours.abort(key, name)
            await theirs.abort(key, other)


def _certify(folder: Path) -> None:
    """Make a key and a certificate for localhost, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName("localhost"), x509.DNSName("*.localhost"), x509.DNSName(f"{BUCKET}.localhost")]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([*names, x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "public.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    unlocked = serialization.NoEncryption()
    encoded = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, unlocked)
    (folder / "private.key").write_bytes(encoded)
