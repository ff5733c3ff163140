"""docker-compose.yml with .env.example, as Docker Compose reads them."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values

ROOT = Path(__file__).parent.parent.parent
VARIABLE = re.compile(r"\$\$|\$\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\}")


def env_file() -> dict[str, str]:
    """Read .env.example."""
    return {name: value or "" for name, value in dotenv_values(ROOT / ".env.example").items()}


def services(values: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Read the services, with *values* put in where the file names them."""
    found: dict[str, dict[str, Any]] = _filled(yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"], values)
    return found


def environment(service: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, str]:
    """Return what a service's processes find in their environment."""
    return {**(values if "env_file" in service else {}), **service.get("environment", {})}


def _filled(node: Any, values: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {name: _filled(one, values) for name, one in node.items()}
    if isinstance(node, list):
        return [_filled(one, values) for one in node]
    return VARIABLE.sub(lambda found: _value(found, values), node) if isinstance(node, str) else node


def _value(found: re.Match[str], values: Mapping[str, str]) -> str:
    if found["name"] is None:
        return "$"
    return values.get(found["name"]) or found["default"] or ""
