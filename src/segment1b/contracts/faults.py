"""Maps exceptions of the operating system and of libraries to errors with a code and a hint."""

from __future__ import annotations

import errno
import os
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from segment1b.errors import Segment1BError

_FULL = ("E_STORAGE_FULL", "free some space and run again; finished states are kept")
_QUOTA = ("E_STORAGE_FULL", "raise the quota or the limit of file sizes (ulimit -f), run again")
_FILES = (
    "E_RESOURCES_EXHAUSTED",
    "raise the limit of open files (ulimit -n), use fewer workers",
)
_MEMORY = ("E_RESOURCES_EXHAUSTED", "give the process more memory, or use fewer workers")
_PATH = (
    "E_DATA_ROOT_UNUSABLE",
    "check the path and its permissions; --data-root must be a folder that can be written",
)
_FAILED = ("E_STORAGE_FAILED", "check the disk, the mount and its lock service, then run again")
_BY_ERRNO = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _QUOTA,
    errno.EFBIG: _QUOTA,
    errno.EMFILE: _FILES,
    errno.ENFILE: _FILES,
    errno.ENOMEM: _MEMORY,
    errno.EAGAIN: _MEMORY,
    errno.EACCES: _PATH,
    errno.EEXIST: _PATH,
    errno.EINVAL: _PATH,
    errno.EISDIR: _PATH,
    errno.ELOOP: _PATH,
    errno.ENAMETOOLONG: _PATH,
    errno.ENODEV: _PATH,
    errno.ENOENT: _PATH,
    errno.ENOTDIR: _PATH,
    errno.ENOTEMPTY: _PATH,
    errno.ENXIO: _PATH,
    errno.EPERM: _PATH,
    errno.EROFS: _PATH,
    errno.EIO: _FAILED,
    errno.ESTALE: _FAILED,
    errno.ENOLCK: _FAILED,
    errno.EXDEV: _FAILED,
}

_NAMED = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EMFILE,
    errno.ENOMEM,
    errno.EIO,
    errno.ESTALE,
    errno.ENOLCK,
)
# A path that cannot be used, but no verdict on what it holds.
_NOT_READ = (errno.EROFS, errno.EACCES, errno.EPERM)

_DAMAGED = ("E_INPUT_UNREADABLE", "restore the file from its source, or correct it")
_COLUMNS = ("E_INPUT_SCHEMA_INVALID", "compare the columns of the files with the schema")
_POLYGON = ("E001_GEO_INVALID", "repair the country's polygon (shapely.make_valid) or replace it")
_INTERRUPTED = ("E_INTERRUPTED", "run again: it goes on where it stopped")
_LOCKED = ("E_LOCKED", "wait until the other process ends")
_INTERNAL = ("E_INTERNAL", "report this with its traceback")
# The first of an exception's classes that is listed counts. They are listed by top-level module and
# name, since no command imports all of these libraries.
_BY_CLASS = {
    "builtins.KeyboardInterrupt": _INTERRUPTED,
    "builtins.MemoryError": _MEMORY,
    "builtins.RecursionError": _DAMAGED,
    "builtins.UnicodeError": _DAMAGED,
    "builtins.TimeoutError": _FAILED,
    "builtins.EOFError": _DAMAGED,
    "filelock.Timeout": _LOCKED,
    "json.JSONDecodeError": _DAMAGED,
    "yaml.YAMLError": _DAMAGED,
    "zipfile.BadZipFile": _DAMAGED,
    "zlib.error": _DAMAGED,
    "duckdb.InterruptException": _INTERRUPTED,
    "duckdb.OutOfMemoryException": _MEMORY,
    "duckdb.BinderException": _COLUMNS,
    "duckdb.InvalidInputException": _DAMAGED,
    "duckdb.ProgrammingError": _INTERNAL,
    "duckdb.InternalError": _INTERNAL,
    "duckdb.Error": _DAMAGED,  # which it raises as such for a damaged Parquet file
    "pyarrow.ArrowCancelled": _INTERRUPTED,
    "pyarrow.ArrowKeyError": _INTERNAL,
    "pyarrow.ArrowIndexError": _INTERNAL,
    "pyarrow.ArrowTypeError": _INTERNAL,
    "pyarrow.ArrowException": _DAMAGED,
    "pyogrio.DataSourceError": _DAMAGED,
    "pyogrio.DataLayerError": _DAMAGED,
    "rasterio.CPLE_OutOfMemoryError": _MEMORY,
    "rasterio.CPLE_UserInterruptError": _INTERRUPTED,
    "rasterio.CPLE_BaseError": _DAMAGED,
    "rasterio.CRSError": _DAMAGED,
    "rasterio.RasterioError": _DAMAGED,
    "shapely.ShapelyError": _POLYGON,
    # Arrow, GDAL and gzip raise it without a number for damaged files.
    "builtins.OSError": _DAMAGED,
}
# What libraries write in exceptions that carry no number.
_BY_TEXT = {
    **{os.strerror(number): _BY_ERRNO[number] for number in _NAMED},
    **{os.strerror(number): _FAILED for number in _NOT_READ},
    "std::bad_alloc": _MEMORY,
    "can't start new thread": _MEMORY,
    "failed to map segment": _MEMORY,  # an ImportError of a library
    "embedded null": ("E_USAGE", "remove the NUL character from the path"),
    "integer string conversion": _DAMAGED,  # a number of thousands of digits
}
_LONGEST = 500
_OF_THE_MACHINE = {_FULL[0], _FAILED[0], _MEMORY[0], _INTERRUPTED[0]}


def coded(error: BaseException, path: object = None) -> Segment1BError:
    """Return an exception as an error with a code and a hint.

    Args:
        error: any exception; a `Segment1BError` is returned as it is.
        path: the file or folder in use; by default the one that an OSError names.

    Returns:
        E_INTERNAL where no fault of the machine or of an input explains the exception; its scope
        has the `traceback` as text.
    """
    if isinstance(error, Segment1BError):
        return error
    number = error.errno if isinstance(error, OSError) else None
    if path is None and isinstance(error, OSError):
        path = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename
    code, hint = _code_and_hint(error, number)
    text = _text(error)
    if code == "E_INTERRUPTED":
        text = "the command was interrupted; nothing is half written"
    scope = {} if path is None else {"path": str(path)}
    if code == "E_INTERNAL":
        lines = "".join(traceback.format_exception(error))
        scope["traceback"] = lines.encode(errors="backslashreplace").decode()
    return Segment1BError(code, text if path is None else f"{path}: {text}", hint, **scope)


def raise_machine_fault(error: BaseException, path: object = None) -> None:
    """Raise the coded error of an exception that says nothing about data.

    Whoever takes exceptions for verdicts on data calls it first: a disk that fails and a lack of
    space, memory or files are no verdicts.
    """
    fault = coded(error, path)
    number = error.errno if isinstance(error, OSError) else None
    if fault.code in _OF_THE_MACHINE or number in _NOT_READ:
        raise fault from (None if fault is error else error)


@contextmanager
def coded_faults() -> Iterator[None]:
    """Turn every exception of a block into an error with a code, the exception as its cause."""
    try:
        yield
    except Segment1BError:
        raise
    except Exception as error:
        raise coded(error) from error


def keep_traceback(error: Segment1BError, record: Path | None = None) -> None:
    """Let an E_INTERNAL name the file that holds its traceback, in place of the traceback itself.

    Args:
        error: any error; one without a traceback is left as it is.
        record: the failure record that has the traceback already; a new temporary file otherwise.
    """
    text = error.scope.pop("traceback", None)
    if text is None:
        return
    try:
        record = record or _temporary_file(text)
    except OSError as refusal:
        error.hint = f"report this; its traceback could not be kept: {refusal}"
    else:
        error.hint = f"report this with its traceback, which is in {record}"
        error.scope["traceback_path"] = str(record)


def _temporary_file(text: str) -> Path:
    handle, name = tempfile.mkstemp(prefix="segment1b-", suffix=".txt")
    try:
        with open(handle, "wb") as file:  # noqa: PTH123
            file.write(text.encode())
    except OSError:
        Path(name).unlink()
        raise
    return Path(name)


def _code_and_hint(error: BaseException, number: int | None) -> tuple[str, str]:
    if number is not None:
        return _BY_ERRNO.get(number, _FAILED)
    text = str(error)
    for part, code_and_hint in _BY_TEXT.items():
        if part in text:
            return code_and_hint
    for kind in type(error).__mro__:
        module = kind.__module__.partition(".")[0].removeprefix("_")
        if f"{module}.{kind.__name__}" in _BY_CLASS:
            return _BY_CLASS[f"{module}.{kind.__name__}"]
    return _INTERNAL


def _text(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:_LONGEST]}" if lines else type(error).__name__
