"""Links to files in buckets that browsers reach themselves.

A private file's link is a presigned GET. Its query shows the credential too, so a name in it that S3 knows would change
what the link gives: such a name travels under another one.
"""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest

from tusfm.adapters.s3_requests import Requests
from tusfm.domain.errors import NotFound
from tusfm.domain.files import File, as_query
from tusfm.ports.links import LINK_SECONDS

AWS = ".amazonaws.com"
MEANT = re.compile(
    r"""
    x-amz-.* | x-minio-.* | response-.* | accelerate | acl | analytics | attributes | authorization | awsaccesskeyid
    | continuation-token | cors | date | delete | delimiter | encoding-type | encryption | events | expires | fetch-owner
    | host | intelligent-tiering | inventory | key-marker | lambdaarn | legal-hold | lifecycle | list-type | location
    | logging | marker | max-keys | max-parts | max-uploads | metrics | notification | object-lock | ownershipcontrols
    | part-number-marker | partnumber | ping | policy | policystatus | prefix | publicaccessblock | replication
    | requestpayment | restore | retention | select | select-type | session | signature | start-after | tagging | torrent
    | upload-id-marker | uploadid | uploads | version-id-marker | versionid | versioning | versions | website
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
"""Names in a query that S3, or MinIO, acts on."""


def means_something(name: str) -> bool:
    """Tell whether a storage may act on this name in a query."""
    return MEANT.fullmatch(name) is not None


class LinkSigner(S3SigV4QueryAuth):  # type: ignore[misc]  # botocore has no types
    """Signs a URL. AWS orders the names in a query as they are written, encoded; MinIO by what they mean."""

    def canonical_query_string(self, request: AWSRequest) -> str:
        """Return the query as the server will see it when it looks at the signature."""
        url = urlsplit(request.url)
        pairs = parse_qsl(url.query, keep_blank_values=True)
        if (url.hostname or "").endswith(AWS):
            pairs.sort(key=lambda pair: (_encoded(pair[0]), _encoded(pair[1])))
        else:
            pairs.sort(key=lambda pair: pair[0].encode())
        return "&".join(f"{_encoded(name)}={_encoded(value)}" for name, value in pairs)


def _encoded(text: str) -> str:
    return quote(text, safe="-_.~")


class S3Links:
    """Implements ports.links.Links."""

    def __init__(self, requests: Requests, url: str | None) -> None:
        """Take whose keys sign, and where browsers see the server; None: where we see it."""
        self._requests = requests
        self._url = url

    async def link(self, file: File, base: str) -> str:  # noqa: ARG002  the storage serves it
        """Return a URL of the storage; the signature is made for the host that browsers see."""
        url = self._place(file)
        if file.public:
            return url
        pairs = as_query(file.credential or {}, means_something)
        query = urlencode(pairs, errors="replace", quote_via=quote)
        request = AWSRequest("GET", f"{url}?{query}")
        LinkSigner(await self._requests.keys(), "s3", self._requests.address.region, expires=LINK_SECONDS).add_auth(request)
        return str(request.url)

    def _place(self, file: File) -> str:
        if self._url is not None:
            return f"{self._url}/{quote(file.path)}"
        address = self._requests.address
        bucket, _, name = file.path.partition("/")
        if not address.virtual_host:
            return f"{address.endpoint}/{quote(file.path)}"
        scheme, _, rest = address.endpoint.partition("://")
        return f"{scheme}://{bucket}.{rest}/{quote(name)}"

    async def opened(self, path: str, query: Mapping[str, str]) -> str:  # noqa: ARG002  no link leads to this server
        """Know no link: none leads to this server."""
        raise NotFound
