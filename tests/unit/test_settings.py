"""Settings: read, checked, and shown without secrets."""

from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from tusfm import wiring
from tusfm.settings import BadSetting, described, load, unknown


def test_defaults_are_the_embedded_stack() -> None:
    """With nothing set there is a directory, no limit and a day until expiry."""
    settings = load({})
    assert (settings.data_dir, settings.max_size, settings.expire_after) == ("./data", None, 86400)
    assert (settings.mysql_host, settings.minio_endpoint, settings.rabbitmq_host) == (None, None, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TUSFM_MAX_SIZE", "many"),
        ("TUSFM_DATA_DIR", "/srv/what?/data"),
        ("TUSFM_MAX_SIZE", "-1"),
        ("TUSFM_MAX_SIZE", "0"),
        ("TUSFM_EXPIRE_AFTER", "soon"),
        ("TUSFM_EXPIRE_AFTER", "-5"),
        ("TUSFM_EXPIRE_AFTER", "nan"),
        ("TUSFM_SWEEP_EVERY", "0"),
        ("TUSFM_MEMORY_BUDGET", "1000"),
        ("TUSFM_BEHIND_PROXY", "perhaps"),
        ("TUSFM_PUBLIC_URL", "ftp://x"),
        ("TUSFM_S3_CA_FILE", "/nowhere"),
        ("TUSFM_S3_CA_FILE", "setup.cfg"),
        ("TUSFM_S3_ENCRYPTION", "rot13"),
        ("TUSFM_S3_REGION", "eu central"),
        ("TUSFM_BROKER_PREFIX", ""),
        ("MINIO_ENDPOINT", "my_minio:9000"),
        ("MINIO_PUBLIC_BUCKET", "tusfm-private"),
        ("TUSFM_S3_ADDRESSING", "host"),
        ("TUSFM_S3_CONNECTIONS", "0"),
        ("TUSFM_S3_MULTIPART_AGE", "0"),
        ("MINIO_PRIVATE_BUCKET", "No_Bucket"),
        ("MINIO_ENDPOINT", "minio:9000/?x"),
        ("TUSFM_S3_PREFIX", "a//b"),
        ("TUSFM_PUBLIC_URL", "example.com"),
        ("TUSFM_LOG_FORMAT", "xml"),
        ("TUSFM_METRICS", "everybody"),
        ("TUSFM_WORKER_METRICS", "9808"),
        ("TUSFM_WORKER_METRICS", "127.0.0.1:70000"),
        ("TUSFM_METRICS", "10.0.0.0/40"),
        ("TUSFM_LOG_LEVEL", "loud"),
        ("APP_MAX_CHUNK_SIZE", "0"),
        ("MINIO_URL", "minio:9000"),
        ("TUSFM_LEGACY_STRICT_SIZE", "2"),
        ("TUSFM_AUTH", "password"),
        ("TUSFM_AUTH", "jwt"),
        ("TUSFM_ALLOWED_TYPES", "png"),
        ("TUSFM_JWT_JWKS_URL", "ftp://id.example"),
        ("TUSFM_MAX_SIZE", str(2**63)),
        ("TUSFM_MAX_SIZE", "9" * 5000),
        ("TUSFM_EXPIRE_AFTER", "1e15"),
        ("TUSFM_PUBLIC_URL", "http://x/\r\nA: b"),
        ("TUSFM_PUBLIC_URL", "http://a b/c"),
        ("TUSFM_PUBLIC_URL", "http://x:99999"),
        ("TUSFM_PUBLIC_URL", "http://[::1"),
        ("TUSFM_CORS_ORIGINS", "app.example"),
        ("TUSFM_CORS_ORIGINS", "*, https://app.example"),
        ("TUSFM_CORS_ORIGINS", "https://app.example/path"),
        ("TUSFM_S3_PREFIX", "../a"),
        ("MYSQL_HOST", "db..example"),
        ("MYSQL_HOST", "d" * 64),
        ("MYSQL_PORT", "70000"),
        ("MINIO_ENDPOINT", "minio..example"),
        ("MINIO_ENDPOINT", "minio:70000"),
        ("RABBITMQ_HOST", "a b"),
    ],
)
def test_what_cannot_be_read_is_named(name: str, value: str) -> None:
    """A setting that cannot be read is one sentence that names it."""
    with pytest.raises(BadSetting) as raised:
        load({name: value})
    assert str(raised.value).startswith(name)
    assert str(raised.value).endswith(".")


def test_the_environment_comes_before_the_file(tmp_path: Path) -> None:
    """An `.env` file gives what the environment does not."""
    file = tmp_path / ".env"
    file.write_text("TUSFM_MAX_SIZE=5\nTUSFM_DATA_DIR='/a b'\n")
    settings = load({"TUSFM_MAX_SIZE": "7"}, file)
    assert (settings.max_size, settings.data_dir) == (7, "/a b")


def test_a_file_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    """A settings file that was named and is missing stops the start."""
    with pytest.raises(BadSetting, match="cannot be read"):
        load({}, tmp_path / "missing")


def test_misspelt_names_are_found() -> None:
    """A TUSFM_ name that means nothing is told of."""
    assert unknown({"TUSFM_MAXSIZE": "1", "TUSFM_MAX_SIZE": "1", "OTHER": "1"}) == ["TUSFM_MAXSIZE"]


def test_every_setting_is_described() -> None:
    """Each setting has a name, a value to show and a meaning."""
    assert all(name and meaning for name, _, meaning in described(load({})))


OLD_FILE = """
# the old service's environment file, filled in
ENV=production
APP_UPLOAD_DIR=/app/uploads
APP_MAX_CHUNK_SIZE=10485760
MINIO_ROOT_USER=minio-root
MINIO_ROOT_PASSWORD="a root secret"
MINIO_ACCESS_KEY=access
MINIO_SECRET_KEY=an access secret
MINIO_PUBLIC_BUCKET=public
MINIO_PRIVATE_BUCKET=private
MINIO_ENDPOINT=minio:9000
MINIO_URL=http://localhost:9001
MYSQL_ROOT_PASSWORD=root-secret
MYSQL_USER=root
MYSQL_PASSWORD=another
MYSQL_HOST=db-mysql
MYSQL_PORT=3306
MYSQL_DATABASE=filemanager
MYSQL_TEST_DATABASE=filemanager_test
RABBITMQ_DEFAULT_USER=user
RABBITMQ_DEFAULT_PASS=pass
RABBITMQ_HOST=rabbitmq
RABBITMQ_PORT=5672
"""


def test_the_old_service_s_file_starts_this_one(tmp_path: Path) -> None:
    """A filled-in environment file of the service before is read as it is, and names the same backends."""
    file = tmp_path / ".env"
    file.write_text(OLD_FILE)
    settings = load({}, file)
    assert (settings.minio_endpoint, settings.minio_url) == ("http://minio:9000", "http://localhost:9001")
    assert (settings.minio_access_key, settings.minio_secret_key) == ("access", "an access secret")
    assert (settings.minio_public_bucket, settings.minio_private_bucket) == ("public", "private")
    assert (settings.rabbitmq_host, settings.rabbitmq_user) == ("rabbitmq", "user")
    assert (settings.max_chunk_size, settings.strict_size) == (10_485_760, False)
    url = make_url(wiring.database_url(settings))
    assert (url.username, url.password, url.host, url.database) == ("root", "root-secret", "db-mysql", "filemanager")
    assert unknown({}) == []
    wiring.build(settings)  # nothing is opened by it


def test_who_may_read_the_figures() -> None:
    """This machine, nobody, or networks; one address is a network, too."""
    assert [str(one) for one in load({}).metrics] == ["127.0.0.0/8", "::1/128"]
    assert load({"TUSFM_METRICS": "off"}).metrics == ()
    assert [str(one) for one in load({"TUSFM_METRICS": "10.0.0.0/8, 192.0.2.7"}).metrics] == ["10.0.0.0/8", "192.0.2.7/32"]
