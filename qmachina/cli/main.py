"""Compose the command and turn errors into one line and an exit code."""

from __future__ import annotations

import sys

import typer

from qmachina.cli import (
    bench,
    demo,
    files,
    lake_commands,
    output,
    platform,
    run_commands,
    serving_commands,
    warm,
)
from qmachina.errors import QMachinaError

# Typer brings its own copy of click; this is the base of its usage errors.
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]

app = typer.Typer(
    name="qmachina",
    help="From raw market-by-order files to live, trustworthy order-book signals.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
    epilog="Exit codes: 0 done, 2 wrong usage, 3 bad input, 4 refused.",
)
files.register(app)
serving_commands.register(app)
bench.register(app)
demo.register(app)
platform.register(app)
lake_commands.register(app)
run_commands.register(app)
warm.register(app)


def main() -> None:
    """Run the command; the exit code is 2 for wrong usage, 3 for bad input, 4 for a refusal."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command with the given arguments and return its exit code."""
    try:
        code = app(args=arguments, standalone_mode=False)
    except QMachinaError as e:
        output.error(e.line())
        return e.exit_code
    except typer.Abort:
        return 130
    except _UsageError as e:
        output.error(" ".join(str(e).split()) + ". See qmachina --help")
        return 2
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        return 130
    return code if isinstance(code, int) else 0
