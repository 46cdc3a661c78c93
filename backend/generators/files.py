"""All generated files with their contents."""

from pathlib import Path
from typing import Any

from backend.generators.commands import command_table
from backend.generators.page import commands_page
from backend.generators.tables import PAGES, job_settings_form, with_tables
from backend.generators.types import types_module

ROOT = Path(__file__).resolve().parents[2]


def generated_files(document: dict[str, Any]) -> dict[str, str]:
    """Return the contents by path, made from the API's OpenAPI document and from the settings of a job."""
    return {
        "backend/cli/commands.json": command_table(document),
        "docs/commands.md": commands_page(document, page=ROOT / "docs" / "commands.md"),
        "frontend/api/types.py": types_module(document, frontend=ROOT / "frontend"),
        "frontend/words/job_settings.json": job_settings_form(),
        **{page: with_tables((ROOT / page).read_text()) for page in PAGES},
    }
