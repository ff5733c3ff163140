"""The page that lists every setting, made from tusfm/settings.py.

python -m tests.documentation.configuration        writes docs/configuration.md
"""

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from tests.deployment.compose import ROOT
from tusfm.settings import Settings

PAGE = ROOT / "docs" / "configuration.md"
HEAD = """\
# Configuration

<!-- python -m tests.documentation.configuration writes this page. -->

Settings are environment variables, or lines of an `.env` file in the working directory (`--env-file` names another one).
The environment comes first.
Sizes are bytes, times are seconds, and a switch is `0` or `1`.
`tusfm check --settings` prints them all as this machine has them, without secrets.
A value that cannot be read stops the start with a sentence that names it.

Which database, storage and broker are used is chosen by whether `MYSQL_HOST`, `MINIO_ENDPOINT` and `RABBITMQ_HOST` are set.
"""
SECTIONS = {
    "MySQL or MariaDB": r"MYSQL_|TUSFM_MYSQL_",
    "S3": r"MINIO_|TUSFM_S3_",
    "RabbitMQ": r"RABBITMQ_|TUSFM_BROKER_",
    "Who may upload, and how much": r"TUSFM_(AUTH|JWT|JWKS|API|LEGACY_AUTH|BACKEND|OWNER|QUOTA|LIMIT|MAX_|ALLOWED|LINK)",
    "Logs and figures": r"TUSFM_(LOG|METRICS|TRAC|OTEL)",
    "The file API of the older service": r"APP_|TUSFM_LEGACY_",
}
"""By what a name begins with; the first that fits, else the server's own."""
OTHERS = "The server"


def section(name: str) -> str:
    """Say where a setting belongs."""
    return next((title for title, begins in SECTIONS.items() if re.match(begins, name)), OTHERS)


def row(described: Mapping[str, Any]) -> str:
    """Write a setting's line."""
    default = f"`{described['default']}`" if described["default"] else ""
    secret = " (secret)" if described["secret"] else ""
    meaning = described["meaning"].replace("|", "\\|")
    return f"| `{described['name']}` | {default} | {meaning}{secret} |\n"


def page() -> str:
    """Write the page."""
    rows: dict[str, str] = dict.fromkeys([OTHERS, *SECTIONS], "")
    for one in fields(Settings):
        rows[section(one.metadata["name"])] += row(one.metadata)
    tables = (
        f"\n## {title}\n\n| name | default | meaning |\n|---|---|---|\n{lines}" for title, lines in rows.items() if lines
    )
    return HEAD + "".join(tables)


if __name__ == "__main__":
    PAGE.write_text(page())
