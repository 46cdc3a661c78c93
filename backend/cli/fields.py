"""What is said to a route on the command line, in the way of HTTPie.

`name=text`, `name:=json`, `name=@file` (a text), `name:=@file` (JSON), `name@file` (the file itself, as a form).
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
    """`values` in order, a name perhaps several times; `files` by name."""

    values: list[tuple[str, Any]] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)

    @property
    def query(self) -> list[tuple[str, str]]:
        return [(name, value if isinstance(value, str) else json.dumps(value)) for name, value in self.values]

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self.values} | set(self.files)


def parse_fields(given: list[str]) -> Fields:
    """Raises AppError, naming what cannot be understood."""
    fields = Fields()
    for text in given:
        found = FIELD.fullmatch(text)
        if found is None:
            raise AppError(f"'{text}' is not understood: give NAME=TEXT, NAME:=JSON, NAME=@FILE or NAME@FILE.")
        name, sign, value = found["name"], found["sign"], found["value"]
        if sign == "@":
            fields.files[name] = existing(Path(value))
        else:
            fields.values.append((name, _value(name, sign, value)))
    return fields


def existing(path: Path) -> Path:
    if not path.is_file():
        raise AppError(f"There is no file {path}.")
    return path


def read_text(path: Path) -> str:
    try:
        return existing(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise AppError(f"{path} cannot be read: {error}.") from None


def read_object(path: Path) -> dict[str, Any]:
    found = _json(read_text(path), where=str(path))
    if not isinstance(found, dict):
        raise AppError(f"{path} holds no JSON object.")
    return found


def _value(name: str, sign: str, value: str) -> Any:
    text = read_text(Path(value)) if sign.endswith("@") else value
    return _json(text, where=f"The value of {name}") if sign.startswith(":") else text


def _json(text: str, *, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise AppError(f"{where} is not JSON: {error}.") from None
