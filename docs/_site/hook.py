"""Puts mermaid, which draws the diagrams, into the site: nothing is fetched from elsewhere when somebody reads it.

Names of tests, which fill columns of tables, may be broken between their words.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

MERMAID = Path(__file__).parent / "node_modules" / "@mermaid-js" / "tiny" / "dist" / "mermaid.tiny.js"
TEST = re.compile(r"<code>[^<]*\.py::[^<]*</code>")


def on_page_content(html: str, **_: object) -> str:
    """Say where the names of tests may be broken."""
    return TEST.sub(lambda found: re.sub("(_|::)", r"\1<wbr>", found[0]), html)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the file under the name that mkdocs.yml gives."""
    if MERMAID.is_file():
        files.append(File.generated(config, "assets/mermaid.js", abs_src_path=str(MERMAID)))
    return files
