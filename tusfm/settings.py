"""The one reader of the environment."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dotenv import dotenv_values

MIB = 1024 * 1024
LEVELS = ("debug", "info", "warning", "error")


class BadSetting(Exception):
    """A setting cannot be read; the text is one sentence that names it."""


def _text(value: str) -> str:
    return value


def _optional(value: str) -> str | None:
    return value or None


def _whole(value: str) -> int:
    if not (value.isascii() and value.isdigit()):
        msg = "must be a whole number, 0 or more"
        raise ValueError(msg)
    return int(value)


def _positive(value: str) -> int:
    number = _whole(value)
    if not number:
        msg = "must be a whole number above 0"
        raise ValueError(msg)
    return number


def _size(value: str) -> int | None:
    return _positive(value) if value else None


def _budget(value: str) -> int:
    number = _positive(value)
    if number < 8 * MIB:
        msg = f"must be {8 * MIB} bytes or more"
        raise ValueError(msg)
    return number


def _seconds(value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = -1
    if not 0 <= number < float("inf"):
        msg = "must be a number of seconds, 0 or more"
        raise ValueError(msg)
    return number


def _more_seconds(value: str) -> float:
    number = _seconds(value)
    if not number:
        msg = "must be a number of seconds above 0"
        raise ValueError(msg)
    return number


def _flag(value: str) -> bool:
    if value.lower() not in {"0", "1", "true", "false", "yes", "no"}:
        msg = "must be 0 or 1"
        raise ValueError(msg)
    return value.lower() in {"1", "true", "yes"}


def _url(value: str) -> str | None:
    if not value:
        return None
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        msg = "must be an http or https URL without a query"
        raise ValueError(msg)
    return value.rstrip("/")


def _origins(value: str) -> tuple[str, ...] | None:
    if value.strip() == "*":
        return None
    return tuple(one.strip().rstrip("/") for one in value.split(",") if one.strip())


def _one_of(*choices: str) -> Callable[[str], str]:
    def read(value: str) -> str:
        if value.lower() not in choices:
            msg = f"must be one of {', '.join(choices)}"
            raise ValueError(msg)
        return value.lower()

    return read


def _setting(name: str, default: str, read: Callable[[str], Any], meaning: str, *, secret: bool = False) -> Any:  # noqa: ANN401
    """Describe a setting once: documentation and `tusfm check --settings` are made from it."""
    described = {"name": name, "default": default, "read": read, "meaning": meaning, "secret": secret}
    return field(metadata=described, repr=not secret)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be set, read and checked; sizes in bytes, times in seconds."""

    data_dir: str = _setting("TUSFM_DATA_DIR", "./data", _text, "embedded stack: the SQLite file and the files")
    max_size: int | None = _setting("TUSFM_MAX_SIZE", "", _size, "bytes of one upload; empty: no limit")
    expire_after: float = _setting("TUSFM_EXPIRE_AFTER", "86400", _seconds, "seconds after the last byte; 0: never")
    sweep_every: float = _setting("TUSFM_SWEEP_EVERY", "300", _more_seconds, "seconds between sweeps")
    read_timeout: float = _setting(
        "TUSFM_READ_TIMEOUT", "60", _more_seconds, "seconds that a read of a body may bring nothing"
    )
    drain_timeout: float = _setting(
        "TUSFM_DRAIN_TIMEOUT", "30", _seconds, "seconds that a stopping process gives its requests to end"
    )
    memory_budget: int = _setting("TUSFM_MEMORY_BUDGET", "268435456", _budget, "bytes of upload buffers in one process")
    public_url: str | None = _setting("TUSFM_PUBLIC_URL", "", _url, "where clients see the server")
    behind_proxy: bool = _setting("TUSFM_BEHIND_PROXY", "0", _flag, "whether forwarded headers are believed")
    cors_origins: tuple[str, ...] | None = _setting(
        "TUSFM_CORS_ORIGINS", "*", _origins, "web pages that may upload: a comma-separated list of origins, or *"
    )
    log_format: str = _setting("TUSFM_LOG_FORMAT", "text", _one_of("text", "json"), "text, or json: a line an event")
    log_level: str = _setting("TUSFM_LOG_LEVEL", "info", _one_of(*LEVELS), "debug, info, warning or error")
    mysql_host: str | None = _setting("MYSQL_HOST", "", _optional, "MySQL or MariaDB instead of SQLite")
    mysql_port: int = _setting("MYSQL_PORT", "3306", _positive, "its port")
    mysql_user: str = _setting("MYSQL_USER", "root", _text, "who we are to it")
    mysql_password: str = _setting("MYSQL_PASSWORD", "", _text, "the user's password", secret=True)
    mysql_root_password: str = _setting(
        "MYSQL_ROOT_PASSWORD", "", _text, "used when the user is root, or has no password", secret=True
    )
    mysql_database: str = _setting("MYSQL_DATABASE", "filemanager", _text, "the database's name")
    minio_endpoint: str | None = _setting("MINIO_ENDPOINT", "", _optional, "MinIO or any S3 instead of a directory")
    rabbitmq_host: str | None = _setting("RABBITMQ_HOST", "", _optional, "RabbitMQ instead of finalizing in the server")


def load(environ: Mapping[str, str], env_file: Path | None = None) -> Settings:
    """Read the environment, and an `.env` file behind it. BadSetting."""
    values = {**_from_file(env_file), **environ}
    return Settings(**{one.name: _read(one.metadata, values) for one in fields(Settings)})


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
        shown = "" if value is None else str(value)
        hidden = "***" if one.metadata["secret"] and value else shown
        rows.append((one.metadata["name"], hidden, one.metadata["meaning"]))
    return rows
