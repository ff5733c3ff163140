"""A bucket of one run, and what a client could do without any server between it and the storage."""

import contextlib
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.services.s3 import S3Server

HOUR_SECONDS = 3600


class Bucket:
    """A bucket that is made before a run and dropped after it, whatever lies in it."""

    def __init__(self, server: S3Server, name: str) -> None:
        """Take a server."""
        self.name = name
        self.port = urlsplit(server.url).port or 80
        self.client: Any = botocore.session.get_session().create_client(
            "s3",
            endpoint_url=server.url,
            region_name="us-east-1",
            aws_access_key_id=server.key,
            aws_secret_access_key=server.secret,
            config=Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required"),
        )

    def make(self) -> None:
        """Make it."""
        self.client.create_bucket(Bucket=self.name)

    def drop(self) -> None:
        """Drop it with all that is in it, as MinIO can; one that stays costs room until the run is over, and no figures."""
        self.client.meta.events.register("before-sign.s3.DeleteBucket", _by_force)
        with contextlib.suppress(BotoCoreError, ClientError):
            self.client.delete_bucket(Bucket=self.name)

    def signed(self, operation: str, **parameters: object) -> str:
        """Return the path of a request that is signed already, so that the client pays nothing for that."""
        parameters["Bucket"] = self.name
        url = urlsplit(self.client.generate_presigned_url(operation, parameters, HOUR_SECONDS))
        return f"{url.path}?{url.query}"


def _by_force(request: Any, **_: object) -> None:  # noqa: ANN401  botocore's own
    request.headers["x-minio-force-delete"] = "true"


def planted(bucket: Bucket, key: str, multipart: str, numbers: Callable[[], object]) -> None:
    """Put parts of a few bytes each into a multipart upload, under the numbers that are drawn until None comes."""
    while (number := numbers()) is not None:
        bucket.client.upload_part(Bucket=bucket.name, Key=key, UploadId=multipart, PartNumber=number, Body=b"part")
