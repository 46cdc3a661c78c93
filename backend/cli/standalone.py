"""A subcommand of `rlsd` that is a program of its own, with imports that the others need not wait for."""

from collections.abc import Callable, Sequence

import typer


def run_standalone(command: Callable[..., None], *, name: str, arguments: Sequence[str] | None = None) -> None:
    """Run it on the arguments (by default the process's), under the name that the user typed: `rlsd NAME`."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    app(args=arguments, prog_name=f"rlsd {name}")
