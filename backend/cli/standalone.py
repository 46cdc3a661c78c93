"""Subcommands of `rlsd` that run as programs of their own, so that their imports do not slow down the others."""

from collections.abc import Callable, Sequence
from typing import Annotated

import typer

Mapping = Annotated[
    str | None,
    typer.Option(
        help='JSON: {"question": column, "answer": column, "hint"?: column, "images"?: column, "context"?: column}.'
    ),
]
"""Which columns of a file hold what, as the form field `mapping` of an upload."""


def run_standalone(command: Callable[..., None], *, name: str, arguments: Sequence[str] | None = None) -> None:
    """Run a command with the arguments (by default the process's), under the name that the user typed: `rlsd NAME`."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    app(args=arguments, prog_name=f"rlsd {name}")
