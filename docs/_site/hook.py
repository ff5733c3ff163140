"""Puts mermaid, which draws the diagrams, into the site: nothing is fetched from elsewhere when somebody reads it."""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

MERMAID = Path(__file__).parent / "node_modules" / "@mermaid-js" / "tiny" / "dist" / "mermaid.tiny.js"


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the file under the name that mkdocs.yml gives."""
    if MERMAID.is_file():
        files.append(File.generated(config, "assets/mermaid.js", abs_src_path=str(MERMAID)))
    return files
