"""Entry point of the command line: failures become coded errors and exit codes."""

from __future__ import annotations

import errno
import logging
import os
import re
import resource
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from typing import Any

from segment1b.errors import Segment1BError

# With less, Arrow waits for threads that cannot start, and glibc aborts the process.
_LEAST_BYTES = 2 << 30
_NO_FILES = ("--attribution", "--engine", "--licence", "--openlineage", "--set")
_MAY_HOLD_CREDENTIALS = re.compile(r"[a-z][a-z0-9+.-]+:/+(?:[^/]*[@:]|.*[?#])", re.I | re.DOTALL)
# No command needs them. Where they are installed, Arrow imports the one at its first array and
# rasterio the other, which takes longer than to explain an outlet.
_UNUSED = ("pandas", "boto3")
_INTERRUPTED = 130  # typer's exit code for Ctrl-C


def main() -> None:
    """Run the command line; every failure has a code, and none prints a traceback.

    README.md lists the exit codes. A command whose results cannot be written to stdout fails.
    """
    try:
        from segment1b.cli.terminal import TextLines, checked_output

        # Without any handler, tracebacks that libraries log would reach stderr.
        logging.getLogger().addHandler(logging.NullHandler())
        threading.excepthook = sys.unraisablehook = _in_one_line
        with _without_unused(), checked_output() as output:
            # For commands that set up no log of their own.
            warnings = logging.StreamHandler(sys.stderr)
            warnings.setFormatter(TextLines())
            logging.getLogger("segment1b").handlers[:] = [warnings]
            code = _run()
            output.flush()
            if output.lost is not None:
                code = code or 3
                _report_lost(output.lost)
    except KeyboardInterrupt:
        code = 3
    except Exception as error:  # noqa: BLE001 - a failure could not be printed
        code = 70
        with suppress(OSError):
            os.write(2, f"E_INTERNAL {type(error).__name__}\n".encode())
    sys.exit(code)


class _Unused:
    """Finds no package of `_UNUSED`, as if it were not installed."""

    @staticmethod
    def find_spec(name: str, _path: object = None, _target: object = None) -> None:
        """Refuse an unused package; leave any other to the next finder."""
        if name in _UNUSED:
            raise ModuleNotFoundError(f"no command uses {name}", name=name)


@contextmanager
def _without_unused() -> Iterator[None]:
    """Let libraries find no unused package in the block."""
    sys.meta_path.insert(0, _Unused)
    try:
        yield
    finally:
        sys.meta_path.remove(_Unused)


def _run() -> int:
    try:
        _check_address_space()
        _check_urls(sys.argv[1:])
        from segment1b.cli.app import app

        code = app(standalone_mode=False) or 0
        if code == _INTERRUPTED:
            raise KeyboardInterrupt
        return int(code)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - each gets a code
        return _end(error)


def _check_urls(arguments: list[str]) -> None:
    """Refuse a URL that may hold credentials before any command prints it as the name of a file.

    Options that take a text or another address check it themselves.
    """
    for before, argument in pairwise(["", *arguments]):
        option, url = before, argument
        if argument.startswith("--"):
            option, _, url = argument.partition("=")
        if option not in _NO_FILES and _MAY_HOLD_CREDENTIALS.match(url):
            from segment1b.contracts.urls import url_of

            url_of(url)


def _check_address_space() -> None:
    """Refuse an address space in which libraries hang or abort the process."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY and limit < _LEAST_BYTES:
        raise Segment1BError(
            "E_RESOURCES_EXHAUSTED",
            f"the address space is limited to {limit >> 20:,} MiB; "
            f"the libraries need {_LEAST_BYTES >> 20:,}",
            "raise the limit (ulimit -v)",
        )


def _end(error: BaseException) -> int:
    """Print a failure as one error with a code; return the exit code."""
    # A second Ctrl-C must not interrupt the message of the first.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        from segment1b.cli.terminal import print_error
        from segment1b.contracts.faults import coded, keep_traceback

        failure = _usage(error) or coded(error)
        keep_traceback(failure)
        if failure.message:  # empty: typer has printed the help, as no command was given
            print_error(failure, as_json="--json" in sys.argv)
        return failure.exit_code
    finally:
        signal.signal(signal.SIGINT, before)


def _usage(error: BaseException) -> Segment1BError | None:
    """Return an error of typer as E_USAGE, None for any other exception."""
    import difflib

    from typer.exceptions import TyperException

    if not isinstance(error, TyperException):
        return None
    context = getattr(error, "ctx", None)
    hint = f"see {context.command_path} --help" if context else "see --help"
    message = error.format_message()
    if near := difflib.get_close_matches(
        getattr(error, "option_name", None) or "", getattr(error, "possibilities", None) or (), 1
    ):
        message = f"{error.message}. Did you mean '{near[0]}'?"
    return Segment1BError("E_USAGE", message, hint)


def _report_lost(error: OSError) -> None:
    from segment1b.cli.terminal import print_error

    # A reader may close its pipe early, as `head` does: that is not an error.
    if error.errno != errno.EPIPE:
        hint = "send it to a file with room, or to /dev/null"
        lost = Segment1BError("E_OUTPUT_LOST", f"stdout: {error.strerror}", hint)
        print_error(lost, as_json=False)


def _in_one_line(fault: Any) -> None:
    """Report a failure in a thread or a finaliser, which no code can catch."""
    with suppress(Exception):
        if isinstance(fault.exc_value, Exception):
            print(f"warning: {type(fault.exc_value).__name__}: {fault.exc_value}", file=sys.stderr)


if __name__ == "__main__":
    main()
