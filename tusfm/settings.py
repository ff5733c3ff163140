"""The one reader of the environment."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from tusfm import setting_values as read

LEVELS = ("debug", "info", "warning", "error")


class BadSetting(Exception):
    """A setting cannot be read; the text is one sentence that names it."""


class Unusable(Exception):
    """What the settings name cannot be used at all; the text is one sentence."""


def _setting(name: str, default: str, read: Callable[[str], Any], meaning: str, *, secret: bool = False) -> Any:  # noqa: ANN401
    """Describe a setting once: documentation and `tusfm check --settings` are made from it."""
    described = {"name": name, "default": default, "read": read, "meaning": meaning, "secret": secret}
    return field(metadata=described, repr=not secret)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be set, read and checked; sizes in bytes, times in seconds."""

    data_dir: str = _setting("TUSFM_DATA_DIR", "./data", read.directory, "embedded stack: the SQLite file and the files")
    max_size: int | None = _setting("TUSFM_MAX_SIZE", "", read.size, "bytes of one upload; empty: no limit")
    expire_after: float = _setting(
        "TUSFM_EXPIRE_AFTER",
        "86400",
        read.seconds,
        "seconds after its last byte until an unfinished upload expires; 0: never",
    )
    sweep_every: float = _setting("TUSFM_SWEEP_EVERY", "300", read.more_seconds, "seconds between sweeps")
    max_chunk_size: int = _setting(
        "APP_MAX_CHUNK_SIZE", "10485760", read.positive, "bytes of one chunk of a file that arrives in chunks"
    )
    strict_size: bool = _setting(
        "TUSFM_LEGACY_STRICT_SIZE", "0", read.flag, "whether a total_size that differs from the bytes is a FAILURE"
    )
    read_timeout: float = _setting(
        "TUSFM_READ_TIMEOUT", "60", read.more_seconds, "seconds that a read of a body may bring nothing"
    )
    drain_timeout: float = _setting(
        "TUSFM_DRAIN_TIMEOUT", "30", read.seconds, "seconds that a stopping process gives its requests to end"
    )
    memory_budget: int = _setting("TUSFM_MEMORY_BUDGET", "268435456", read.budget, "bytes of upload buffers in one process")
    public_url: str | None = _setting("TUSFM_PUBLIC_URL", "", read.url, "where clients see the server")
    behind_proxy: bool = _setting("TUSFM_BEHIND_PROXY", "0", read.flag, "whether forwarded headers are believed")
    cors_origins: tuple[str, ...] | None = _setting(
        "TUSFM_CORS_ORIGINS", "*", read.origins, "web pages that may upload: a comma-separated list of origins, or *"
    )
    auth: str = _setting(
        "TUSFM_AUTH", "none", read.one_of("none", "jwt", "apikey"), "who is let in: none (whoever has the URL), jwt or apikey"
    )
    backend_creates: bool = _setting(
        "TUSFM_BACKEND_CREATES",
        "1",
        read.flag,
        "whether an unfinished upload's URL alone is enough to go on with it; 0: every request needs the owner's token",
    )
    legacy_auth: bool = _setting(
        "TUSFM_LEGACY_AUTH", "0", read.flag, "whether the older API's endpoints want the owner's credential too, each of them"
    )
    jwt_key: str = _setting(
        "TUSFM_JWT_KEY", "", read.text, "what tokens are signed with: a secret (HS256), or a public key (PEM)", secret=True
    )
    jwt_key_file: str | None = _setting(
        "TUSFM_JWT_KEY_FILE", "", read.optional, "a file of keys instead: a secret, public keys (PEM), or a key set (JWKS)"
    )
    jwt_jwks_url: str | None = _setting(
        "TUSFM_JWT_JWKS_URL", "", read.key_set_url, "the address of an identity provider's key set (JWKS) instead"
    )
    jwt_audience: str | None = _setting(
        "TUSFM_JWT_AUDIENCE", "", read.optional, "what a token's aud must have; empty: anything"
    )
    jwt_issuer: str | None = _setting("TUSFM_JWT_ISSUER", "", read.optional, "what a token's iss must be; empty: anything")
    allowed_types: tuple[str, ...] | None = _setting(
        "TUSFM_ALLOWED_TYPES", "", read.media_types, "types of files that are taken, as clients name them; empty: all"
    )
    allowed_names: tuple[str, ...] | None = _setting(
        "TUSFM_ALLOWED_NAMES", "", read.patterns, "patterns of file names that are taken, such as *.jpg; empty: all"
    )
    quota_bytes: int | None = _setting(
        "TUSFM_QUOTA_BYTES", "", read.size, "bytes that one owner's uploads may have together; empty: no limit"
    )
    quota_unfinished: int | None = _setting(
        "TUSFM_QUOTA_UNFINISHED", "", read.size, "unfinished uploads that one owner may have; empty: no limit"
    )
    quota_per_minute: int | None = _setting(
        "TUSFM_QUOTA_PER_MINUTE", "", read.size, "uploads that one owner may make in a minute; empty: no limit"
    )
    quota_total: int | None = _setting(
        "TUSFM_QUOTA_TOTAL", "", read.size, "bytes that all uploads may have together; empty: no limit"
    )
    log_format: str = _setting("TUSFM_LOG_FORMAT", "text", read.one_of("text", "json"), "text, or json: a line an event")
    log_level: str = _setting("TUSFM_LOG_LEVEL", "info", read.one_of(*LEVELS), "debug, info, warning or error")
    log_metadata: bool = _setting(
        "TUSFM_LOG_METADATA", "0", read.flag, "whether events in the log bear the metadata that clients gave"
    )
    metrics: tuple[IPv4Network | IPv6Network, ...] = _setting(
        "TUSFM_METRICS", "local", read.networks, "who may read /metrics: local, off, or a comma-separated list of networks"
    )
    worker_metrics: tuple[str, int] | None = _setting(
        "TUSFM_WORKER_METRICS", "", read.address, "address and port where a worker serves its own /metrics; empty: nowhere"
    )
    otel_endpoint: str | None = _setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT", "", read.url, "collector of OpenTelemetry that spans are sent to (tusfm[otel])"
    )
    mysql_host: str | None = _setting("MYSQL_HOST", "", read.host, "MySQL or MariaDB instead of SQLite")
    mysql_port: int = _setting("MYSQL_PORT", "3306", read.port, "its port")
    mysql_user: str = _setting("MYSQL_USER", "root", read.required, "who we are to it")
    mysql_password: str = _setting("MYSQL_PASSWORD", "", read.text, "the user's password", secret=True)
    mysql_root_password: str = _setting(
        "MYSQL_ROOT_PASSWORD", "", read.text, "used when the user is root, or has no password", secret=True
    )
    mysql_database: str = _setting("MYSQL_DATABASE", "filemanager", read.required, "the database's name")
    mysql_pool: int = _setting("TUSFM_MYSQL_POOL", "10", read.positive, "connections to MySQL that one process holds at most")
    minio_endpoint: str | None = _setting(
        "MINIO_ENDPOINT", "", read.endpoint, "MinIO or any S3 instead of a directory: host:port, or a URL"
    )
    minio_access_key: str = _setting("MINIO_ACCESS_KEY", "", read.text, "our key; none at all: AWS's default chain")
    minio_secret_key: str = _setting("MINIO_SECRET_KEY", "", read.text, "its secret", secret=True)
    minio_root_user: str = _setting("MINIO_ROOT_USER", "", read.text, "used when there is no access key")
    minio_root_password: str = _setting("MINIO_ROOT_PASSWORD", "", read.text, "its secret", secret=True)
    minio_public_bucket: str = _setting("MINIO_PUBLIC_BUCKET", "tusfm-public", read.bucket, "files that anyone may read")
    minio_private_bucket: str = _setting("MINIO_PRIVATE_BUCKET", "tusfm-private", read.bucket, "all other files")
    minio_url: str | None = _setting(
        "MINIO_URL", "", read.url, "where browsers see MinIO, for links to files; empty: MINIO_ENDPOINT"
    )
    s3_bucket: str | None = _setting(
        "TUSFM_S3_BUCKET", "", read.optional_bucket, "where tus uploads lie; empty: the private bucket"
    )
    s3_prefix: str = _setting("TUSFM_S3_PREFIX", "tusfm/", read.prefix, "what our keys begin with")
    s3_region: str = _setting("TUSFM_S3_REGION", "us-east-1", read.name, "the region to sign for")
    s3_addressing: str = _setting(
        "TUSFM_S3_ADDRESSING",
        "path",
        read.one_of("path", "virtual"),
        "where the bucket stands: in the path, or the host name",
    )
    s3_session_token: str = _setting(
        "TUSFM_S3_SESSION_TOKEN", "", read.text, "token that belongs to a temporary access key", secret=True
    )
    s3_ca_file: str | None = _setting(
        "TUSFM_S3_CA_FILE", "", read.certificates, "certificates to trust beside those that everybody does (PEM)"
    )
    s3_encryption: str | None = _setting(
        "TUSFM_S3_ENCRYPTION", "", read.encryption, "encryption at rest that the storage is asked for: AES256 or aws:kms"
    )
    s3_kms_key: str | None = _setting("TUSFM_S3_KMS_KEY", "", read.optional, "the key for aws:kms; empty: the bucket's own")
    s3_storage_class: str | None = _setting(
        "TUSFM_S3_STORAGE_CLASS", "", read.optional, "storage class of finished files; one that is readable at once"
    )
    s3_connections: int = _setting(
        "TUSFM_S3_CONNECTIONS",
        "32",
        read.positive,
        "connections for writing that one process holds at most, and as many for reading",
    )
    s3_multipart_age: float = _setting(
        "TUSFM_S3_MULTIPART_AGE",
        "43200",
        read.more_seconds,
        "seconds for which a multipart upload is used; a storage may abort older ones",
    )
    rabbitmq_host: str | None = _setting(
        "RABBITMQ_HOST", "", read.host, "RabbitMQ and workers instead of finalizing in the server"
    )
    rabbitmq_port: int = _setting("RABBITMQ_PORT", "5672", read.port, "its port")
    rabbitmq_user: str = _setting("RABBITMQ_DEFAULT_USER", "guest", read.text, "who we are to it")
    broker_prefix: str = _setting(
        "TUSFM_BROKER_PREFIX", "tusfm", read.name, "what the names of our queue and exchange begin with"
    )
    rabbitmq_password: str = _setting("RABBITMQ_DEFAULT_PASS", "guest", read.text, "the user's password", secret=True)


def load(environ: Mapping[str, str], env_file: Path | None = None) -> Settings:
    """Read the environment, and an `.env` file behind it. BadSetting."""
    values = {**_from_file(env_file), **environ}
    settings = Settings(**{one.name: _read(one.metadata, values) for one in fields(Settings)})
    if settings.minio_public_bucket in {settings.minio_private_bucket, settings.s3_bucket}:
        msg = "MINIO_PUBLIC_BUCKET must be another bucket than MINIO_PRIVATE_BUCKET and TUSFM_S3_BUCKET: anyone may read it."
        raise BadSetting(msg)
    if settings.legacy_auth and settings.auth == "none":
        msg = "TUSFM_LEGACY_AUTH=1 needs TUSFM_AUTH."
        raise BadSetting(msg)
    if settings.auth == "jwt" and sum(map(bool, (settings.jwt_key, settings.jwt_key_file, settings.jwt_jwks_url))) != 1:
        msg = "TUSFM_AUTH=jwt needs one of TUSFM_JWT_KEY, TUSFM_JWT_KEY_FILE and TUSFM_JWT_JWKS_URL."
        raise BadSetting(msg)
    return settings


def _from_file(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        with path.open() as stream:
            return {name: value for name, value in dotenv_values(stream=stream).items() if value is not None}
    except (OSError, UnicodeDecodeError) as error:
        msg = f"The settings file {path} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}."
        raise BadSetting(msg) from error


def _read(described: Mapping[str, Any], values: Mapping[str, str]) -> Any:  # noqa: ANN401  each setting has its type
    value = values.get(described["name"], described["default"]).strip()
    try:
        return described["read"](value)
    except ValueError as error:
        msg = f"{described['name']} {error}."
        raise BadSetting(msg) from error


def unknown(environ: Mapping[str, str]) -> list[str]:
    """Name the `TUSFM_…` variables that mean nothing, for a warning: most are misspelt."""
    names = {one.metadata["name"] for one in fields(Settings)}
    return sorted(name for name in environ if name.startswith("TUSFM_") and name not in names)


def described(settings: Settings) -> list[tuple[str, str, str]]:
    """List each setting's name, value (secrets hidden) and meaning."""
    rows = []
    for one in fields(Settings):
        value = getattr(settings, one.name)
        shown = _shown(value)
        hidden = "***" if one.metadata["secret"] and value else shown
        rows.append((one.metadata["name"], hidden, one.metadata["meaning"]))
    return rows


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)
