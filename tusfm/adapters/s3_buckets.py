"""Buckets as they must be before anything is stored: there, and the public one readable by anyone."""

import asyncio
import json
import logging

from tusfm.adapters.s3_errors import ADVICE
from tusfm.adapters.s3_requests import Requests
from tusfm.domain.errors import BytesLost, StorageUnavailable, TusfmError

AGAIN_SECONDS = 5.0
DEFAULT_REGION = "us-east-1"  # which must not be named when a bucket is made
BLOCKING = tuple(advice for code, advice in ADVICE.items() if code != "AccessDenied")  # more than links suffers then

log = logging.getLogger(__name__)


async def made(requests: Requests, buckets: list[str], public: str | None) -> None:
    """Make the buckets that are missing, for as long as it takes; say once what it waits for."""
    said = ""
    while True:
        try:
            for bucket in dict.fromkeys(buckets):
                await _make(requests, bucket, anyone=bucket == public)
        except TusfmError as error:
            if str(error) != said:
                said = str(error)
                log.warning("waiting for the storage: %s", error)
            await asyncio.sleep(AGAIN_SECONDS)
        else:
            if said:
                log.info("the storage can be used now")
            return


async def _make(requests: Requests, bucket: str, *, anyone: bool) -> None:
    try:
        await requests.call("head_bucket", {"Bucket": bucket})
    except BytesLost:
        await _create(requests, bucket)
    except StorageUnavailable as error:
        if not str(error).endswith("(403)"):  # who may write to a bucket need not have the right to ask after it
            raise
    if anyone:
        await _open(requests, bucket)


async def _create(requests: Requests, bucket: str) -> None:
    region = requests.address.region
    where = {} if region == DEFAULT_REGION else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    try:
        await requests.call("create_bucket", {"Bucket": bucket, **where})
    except StorageUnavailable as error:
        if "BucketAlready" in str(error):  # another process was quicker
            return
        msg = f"the bucket {bucket} is not there and cannot be made: {error}"
        raise StorageUnavailable(msg) from error
    log.info("the bucket %s was made", bucket)


async def _open(requests: Requests, bucket: str) -> None:
    """Let anyone read the bucket's files, unless it has a policy of its own already."""
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": ["*"]},
        "Action": ["s3:GetObject"],
        "Resource": [f"arn:aws:s3:::{bucket}/*"],
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    try:
        if not await _has_policy(requests, bucket):
            await requests.call("put_bucket_policy", {"Bucket": bucket, "Policy": policy})
    except TusfmError as error:
        if str(error).startswith(BLOCKING):
            raise
        log.warning("links to files in %s will not open, for its policy cannot be set (%s); set it by hand", bucket, error)


async def _has_policy(requests: Requests, bucket: str) -> bool:
    """Tell whether there is one; one that may not be read may be there, and is not replaced."""
    try:
        await requests.call("get_bucket_policy", {"Bucket": bucket})
    except StorageUnavailable as error:
        if "NoSuchBucketPolicy" not in str(error):
            raise
        return False
    return True
