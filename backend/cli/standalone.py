"""Subcommands of `rlsd` that run as programs of their own, so that their imports do not slow down the others."""

from collections.abc import Callable, Sequence

import typer


def run_standalone(command: Callable[..., None], *, name: str, arguments: Sequence[str] | None = None) -> None:
    """Run a command with the arguments (by default the process's), under the name that the user typed: `rlsd NAME`."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    app(args=arguments, prog_name=f"rlsd {name}")
