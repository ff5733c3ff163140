"""Signatures for S3 are those that botocore makes."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from botocore.auth import UNSIGNED_PAYLOAD, S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tusfm.adapters.s3_signing import Signer

PART = "?partNumber=3&uploadId=a%2Bb%3D%3D"


class Unsigned(S3SigV4Auth):  # type: ignore[misc]  # botocore has no types
    """botocore's signer, with the payload declared unsigned."""

    def payload(self, _: AWSRequest) -> str:
        """Declare it."""
        return str(UNSIGNED_PAYLOAD)


def by_botocore(method: str, url: str, headers: Mapping[str, str], keys: Credentials) -> dict[str, str]:
    """Sign as botocore does, now."""
    request = AWSRequest(method, url, headers)
    Unsigned(keys, "s3", "eu-west-1").add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


@pytest.mark.parametrize("token", [None, "session"])
@pytest.mark.parametrize(
    ("method", "url", "headers"),
    [
        ("PUT", "http://127.0.0.1:9000/bucket/tusfm/files/ab/1", {"x-amz-checksum-crc32": "AAAAAA=="}),
        ("PUT", f"https://bucket.s3.amazonaws.com/files/ab/1{PART}", {"x-amz-storage-class": "STANDARD_IA"}),
        ("GET", "https://s3.example.com:443/bucket/a%20b~c.txt", {"Range": "bytes=0-4"}),
        ("HEAD", "http://[::1]:80/bucket/%C3%BC", {"x-amz-server-side-encryption-aws-kms-key-id": "  a   key "}),
        ("GET", "http://Storage:9000/bucket/key?b=2&a-b=3&a=1", {}),
    ],
)
def test_a_signature_is_botocores(method: str, url: str, headers: dict[str, str], token: str | None) -> None:
    """For paths, queries, headers and hosts of all kinds, with a session's token and without one."""
    keys = Credentials("key", "secret", token)
    expected = by_botocore(method, url, headers, keys)
    at = datetime.strptime(expected["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    signed = {name.lower(): value for name, value in Signer("eu-west-1").signed(method, url, headers, keys, at).items()}
    signed.pop("host")
    assert signed == expected


def test_the_key_of_a_day_serves_no_other() -> None:
    """A signer that has signed yesterday, or with other keys, signs as a new one does."""
    used = Signer("eu-west-1")
    said: tuple[str, str, dict[str, str], Credentials, datetime]
    for day in (1, 2):
        for secret in ("one", "two"):
            said = ("GET", "http://127.0.0.1/a", {}, Credentials("key", secret), datetime(2026, 11, day, tzinfo=UTC))
            assert used.signed(*said) == Signer("eu-west-1").signed(*said)
