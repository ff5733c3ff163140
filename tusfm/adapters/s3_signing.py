"""Signs the heads of requests to S3 (AWS Signature Version 4), with the bytes declared unsigned.

botocore's signer costs more time than sending a small object, most of it for headers that we do not have.
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import SplitResult, urlsplit

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
PORTS = {"http": 80, "https": 443}


class Signer:
    """Signs for one region, and keeps the key that it derives for a day."""

    def __init__(self, region: str) -> None:
        """Take the region that the storage calls its own."""
        self._region = region
        self._kept: tuple[tuple[str, str], bytes] | None = None

    def signed(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        keys: Any,  # noqa: ANN401  botocore has no types
        at: datetime | None = None,
    ) -> dict[str, str]:
        """Return these headers with the signature and what it needs; *at* is now, unless it is given."""
        stamp = (at or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
        parts = urlsplit(url)
        all_headers = {**headers, "Host": _host(parts), "X-Amz-Content-SHA256": UNSIGNED, "X-Amz-Date": stamp}
        if keys.token:
            all_headers["X-Amz-Security-Token"] = keys.token
        lines = sorted((name.lower(), " ".join(value.split())) for name, value in all_headers.items())
        names = ";".join(name for name, _ in lines)
        query = "&".join(sorted(parts.query.split("&"), key=lambda pair: pair.split("=")))
        said = [method, parts.path, query, *(f"{name}:{value}" for name, value in lines), "", names, UNSIGNED]
        scope = f"{stamp[:8]}/{self._region}/s3/aws4_request"
        digest = hashlib.sha256("\n".join(said).encode()).hexdigest()
        text = f"{ALGORITHM}\n{stamp}\n{scope}\n{digest}"
        signature = _hmac(self._key(keys.secret_key, stamp[:8]), text).hex()
        all_headers["Authorization"] = (
            f"{ALGORITHM} Credential={keys.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
        return all_headers

    def _key(self, secret: str, day: str) -> bytes:
        if self._kept is None or self._kept[0] != (secret, day):
            key = f"AWS4{secret}".encode()
            for word in (day, self._region, "s3", "aws4_request"):
                key = _hmac(key, word)
            self._kept = (secret, day), key
        return self._kept[1]


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def _host(parts: SplitResult) -> str:
    """Return what the header Host says: a port only where it is not the scheme's own."""
    host = parts.netloc.lower()
    return host.removesuffix(f":{PORTS.get(parts.scheme)}")
