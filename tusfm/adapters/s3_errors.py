"""What an S3 server's refusals mean to the engine, and to the operator who reads the log."""

import re

from botocore.exceptions import BotoCoreError, ClientError

from tusfm.domain.errors import BytesLost, StorageFull, StorageUnavailable, TusfmError

GONE = {"NoSuchUpload", "NoSuchKey", "InvalidPart", "InvalidRange"}
FULL = {"XMinioStorageFull", "InsufficientStorage", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded"}
ADVICE = {
    "NoSuchBucket": "the bucket is not there; make it, or look at MINIO_PRIVATE_BUCKET and TUSFM_S3_BUCKET",
    "AccessDenied": "the storage forbids it; the keys need the right to read, write, list and delete in the bucket",
    "AllAccessDisabled": "the storage forbids it; the account is closed",
    "InvalidAccessKeyId": "the storage does not know the access key; look at MINIO_ACCESS_KEY or MINIO_ROOT_USER",
    "SignatureDoesNotMatch": "the storage does not accept the secret key; look at MINIO_SECRET_KEY or MINIO_ROOT_PASSWORD",
    "ExpiredToken": "the storage says that the session token has expired; get a new one",
    "InvalidToken": "the storage does not accept the session token; look at TUSFM_S3_SESSION_TOKEN",
    "AuthorizationHeaderMalformed": "the storage signs for another region; look at TUSFM_S3_REGION",
    "PermanentRedirect": "the bucket lies in another region; look at TUSFM_S3_REGION and MINIO_ENDPOINT",
    "RequestTimeTooSkewed": "the storage's clock and this machine's are too far apart; set them",
}
"""Refusals that no retry ends, and what to do; none of them holds a secret, a key or an address."""
PASSING_STATUSES = {408, 429, 500, 502, 503, 504}
PASSING_CODES = {"RequestTimeout", "SlowDown", "InternalError", "ServiceUnavailable", "OperationAborted", "BadDigest"}
PASSING_CODES |= {"XMinioServerNotInitialized", "XAmzContentChecksumMismatch"}
CODE = re.compile(rb"<Code>([A-Za-z0-9]{1,64})</Code>")


class Passing(StorageUnavailable):
    """The same request may do better in a moment; none leaves the adapter."""


def code_in(body: bytes) -> str:
    """Find the code in the body of an error, "" when it has none."""
    found = CODE.search(body)
    return found[1].decode() if found else ""


def refusal(status: int, code: str) -> TusfmError:
    """Turn an answer that is an error into the engine's own."""
    if code in GONE or (not code and status in {404, 416}):
        return BytesLost(f"the storage says {code or status}")
    if code in FULL or status == 507:  # noqa: PLR2004  Insufficient Storage, as WebDAV has it
        return StorageFull("the storage has no room")
    if code in ADVICE:
        return StorageUnavailable(f"{ADVICE[code]} ({code})")
    if status in PASSING_STATUSES or code in PASSING_CODES:
        return Passing(f"the storage is not well ({code or status})")
    return StorageUnavailable(f"the storage refuses ({status} {code}".rstrip() + ")")


def translated(error: ClientError | BotoCoreError) -> TusfmError:
    """Turn what aiobotocore raises into the engine's own."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = error.response.get("Error", {}).get("Code", "")
        return refusal(status, "" if code.isdecimal() else code)
    return unreachable(error)


def unreachable(error: BaseException) -> TusfmError:
    """Say that no answer came; the kind of failure is enough, for its text may hold an address."""
    name = type(error).__name__
    if name in {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"}:
        return StorageUnavailable("there are no keys for the storage; set MINIO_ACCESS_KEY and MINIO_SECRET_KEY")
    return Passing(f"the storage does not answer ({name})")
