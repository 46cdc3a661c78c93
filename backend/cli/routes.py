"""The commands that call one route each. `commands.json` is generated from the API's OpenAPI document."""

import json
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).with_name("commands.json")


@dataclass(frozen=True, slots=True)
class Command:
    """A command for one route: `path` has the positional arguments, `fields` those given as NAME=VALUE, with help."""

    name: str
    method: str
    path: str
    description: str
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class Family:
    """The commands `rlsd NAME …`."""

    name: str
    description: str
    commands: tuple[Command, ...]


def families() -> list[Family]:
    """Return the families in the order of the OpenAPI document's tags."""
    return [
        Family(each["name"], each["description"], tuple(Command(**command) for command in each["commands"]))
        for each in json.loads(TABLE.read_text())
    ]
