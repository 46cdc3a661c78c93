"""All generated files with their contents."""

from pathlib import Path
from typing import Any

from generators.commands import command_table
from generators.page import commands_page
from generators.types import types_module

ROOT = Path(__file__).resolve().parents[1]


def generated_files(document: dict[str, Any]) -> dict[str, str]:
    """Return the contents by path, made from the API's OpenAPI document."""
    return {
        "backend/cli/commands.json": command_table(document),
        "docs/commands.md": commands_page(document, page=ROOT / "docs" / "commands.md"),
        "frontend/api/types.py": types_module(document, frontend=ROOT / "frontend"),
    }
