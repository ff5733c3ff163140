"""Commands that the documentation and the files in deploy/ give: the command line knows each of them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.deployment.compose import ROOT, env_file, services
from tusfm import main

BLOCK = re.compile(r"^ *```(?:sh|console)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


def of_pages() -> Iterator[str]:
    """Find them in the documentation's blocks of commands."""
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for block in BLOCK.findall(page.read_text()):
            yield from re.findall(r"^ *(?:\$ )?tusfm (.*)$", block, re.MULTILINE)


def of_units() -> Iterator[str]:
    """Find them in systemd's units."""
    for unit in (ROOT / "deploy" / "systemd").iterdir():
        yield from re.findall(r"^Exec\w+=-?/opt/tusfm/bin/tusfm (.*)$", unit.read_text(), re.MULTILINE)


def of_manifests() -> Iterator[str]:
    """Find them in Kubernetes' manifests."""
    for manifest in (ROOT / "deploy" / "kubernetes").iterdir():
        for one in yaml.safe_load_all(manifest.read_text()):
            if one["kind"] in {"Deployment", "Job"}:
                yield from (shlex.join(container["args"]) for container in one["spec"]["template"]["spec"]["containers"])


def of_services() -> Iterator[str]:
    """Find them in docker-compose.yml."""
    ours = [one for one in services(env_file()).values() if "env_file" in one]
    yield from (shlex.join(one["command"]) for one in ours)


@pytest.mark.parametrize("given", sorted({*of_pages(), *of_units(), *of_manifests(), *of_services()}))
def test_the_command_line_knows_it(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its words and options exist."""
    (tmp_path / "token.txt").write_text("token")
    monkeypatch.chdir(tmp_path)
    words = [word for word in shlex.split(given, comments=True) if word not in {"&", "…"}]
    options, rest = main._parser().parse_known_args(words)
    assert rest == [] or options.run.__module__ == "tusfm.commands.worker"
