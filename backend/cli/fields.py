"""Fields of a request on the command line, in HTTPie's syntax.

`name=text`, `name:=json`, `name=@file` (text of a file), `name:=@file` (JSON of a file), `name@file` (a form upload).
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backend.errors import AppError

FIELD = re.compile(r"(?P<name>[^=:@]+)(?P<sign>:=@|=@|:=|=|@)(?P<value>.*)", re.DOTALL)


@dataclass(slots=True)
class Fields:
    """Parsed fields: `values` in order, where a name may be repeated; `files` by name."""

    values: list[tuple[str, Any]] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)

    @property
    def query(self) -> list[tuple[str, str]]:
        return [(name, value if isinstance(value, str) else json.dumps(value)) for name, value in self.values]

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self.values} | set(self.files)


def parse_fields(arguments: list[str]) -> Fields:
    """Parse NAME=VALUE arguments. Raises AppError with the invalid argument."""
    fields = Fields()
    for text in arguments:
        match = FIELD.fullmatch(text)
        if match is None:
            raise AppError(f"'{text}' is not a field: write NAME=TEXT, NAME:=JSON, NAME=@FILE or NAME@FILE.")
        name, sign, value = match["name"], match["sign"], match["value"]
        if sign == "@":
            fields.files[name] = existing_file(Path(value))
        else:
            fields.values.append((name, _value(name, sign, value)))
    return fields


def existing_file(path: Path) -> Path:
    if not path.is_file():
        raise AppError(f"There is no file {path}.")
    return path


def read_text(path: Path) -> str:
    try:
        return existing_file(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise AppError(f"{path} cannot be read: {error}.") from None


def read_object(path: Path) -> dict[str, Any]:
    value = _json(read_text(path), where=str(path))
    if not isinstance(value, dict):
        raise AppError(f"{path} does not contain a JSON object.")
    return value


def _value(name: str, sign: str, value: str) -> Any:
    text = read_text(Path(value)) if sign.endswith("@") else value
    return _json(text, where=f"The value of {name}") if sign.startswith(":") else text


def _json(text: str, *, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise AppError(f"{where} is not valid JSON: {error}.") from None
