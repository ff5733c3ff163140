"""What the query of a link shows of a credential, and how a link is signed and where it leads."""

from urllib.parse import parse_qsl, urlsplit

import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tusfm.adapters.s3_links import LinkSigner, S3Links, means_something
from tusfm.adapters.s3_requests import Requests, S3Address
from tusfm.domain.files import File, FileStatus, as_query

NAMES = "acl tagging versionId uploadId partNumber response-content-type X-Amz-Date x-amz-anything attributes legal-hold"
NAMES += " retention torrent cors policy lifecycle encryption ACL host"


def file(**credential: str) -> File:
    """Describe a private file."""
    name, done = "private/2.txt", FileStatus.SUCCESS
    return File(id="1", upload_id="2", path=name, content_type="", credential=credential, detail=None, status=done)


@pytest.mark.parametrize("name", NAMES.split())
def test_what_a_storage_knows_travels_under_another_name(name: str) -> None:
    """No name of a credential steers the storage."""
    assert as_query({name: "x"}, means_something) == {f"credential-{name}": "x"}


def test_all_others_travel_as_they_are() -> None:
    """Ordinary names, whatever their letters, and no two become one."""
    pairs = {"user_id": "1", "имя": "2", "": "3", "my-acl": "4", "acls": "5", "response": "6", "a\nacl": "7"}
    assert as_query(pairs, means_something) == pairs
    both = as_query({"acl": "1", "credential-acl": "2"}, means_something)
    assert both == {"credential-credential-acl": "1", "credential-acl": "2"}


@pytest.mark.parametrize(
    ("url", "virtual", "expected"),
    [
        ("https://files.example:9443", False, "https://files.example:9443/private/2.txt"),
        ("https://files.example", True, "https://files.example/private/2.txt"),
        (None, False, "http://minio:9000/private/2.txt"),
        (None, True, "http://private.minio:9000/2.txt"),
    ],
)
async def test_where_a_link_leads(url: str | None, virtual: bool, expected: str) -> None:  # noqa: FBT001
    """To where browsers see the storage, in its own style; without a setting to where we see it. Good for seven days."""
    address = S3Address(endpoint="http://minio:9000", access_key="key", secret_key="secret", virtual_host=virtual)
    requests = Requests(address)
    await requests.start()
    try:
        link = await S3Links(requests, url).link(file(user="é"), "http://not.this")
        assert await S3Links(requests, url).link(file(), "http://not.this") == expected
    finally:
        await requests.close()
    query = dict(parse_qsl(urlsplit(link).query))
    assert (link.partition("?")[0], query["user"], query["X-Amz-Expires"]) == (expected, "é", "604800")
    assert "secret" not in link


@pytest.mark.parametrize(("host", "first"), [("minio", "X-Amz-Date"), ("s3.eu-west-1.amazonaws.com", "%D0%B8")])
def test_names_are_in_the_order_in_which_the_server_looks_at_them(host: str, first: str) -> None:
    """AWS compares names as they are written, encoded; MinIO what they mean."""
    signer = LinkSigner(Credentials("key", "secret"), "s3", "us-east-1")
    query = signer.canonical_query_string(AWSRequest("GET", f"https://{host}/b/k?%D0%B8=1&X-Amz-Date=2"))
    assert query.startswith(f"{first}=")
