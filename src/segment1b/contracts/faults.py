"""Maps exceptions of the operating system and of libraries to errors with a code and a hint."""

from __future__ import annotations

import errno
import os
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from segment1b.errors import Segment1BError, unreadable

_FULL, _FAILED, _PATH = "E_STORAGE_FULL", "E_STORAGE_FAILED", "E_DATA_ROOT_UNUSABLE"
_RESOURCES, _DAMAGED, _POLYGON = "E_RESOURCES_EXHAUSTED", "E_INPUT_UNREADABLE", "E001_GEO_INVALID"
_INTERRUPTED, _INTERNAL = "E_INTERRUPTED", "E_INTERNAL"
_BY_ERRNO = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _FULL),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN), _RESOURCES),
    **dict.fromkeys((errno.EIO, errno.ESTALE, errno.ENOLCK, errno.EXDEV), _FAILED),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOENT), _PATH),
    **dict.fromkeys((errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY, errno.ENODEV), _PATH),
    **dict.fromkeys((errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL, errno.ENXIO), _PATH),
}
_QUOTA = "raise the quota or the limit of file sizes (ulimit -f), run again"
_FILES = "raise the limit of open files (ulimit -n), use fewer workers"
_HINTS = {
    **dict.fromkeys((errno.EDQUOT, errno.EFBIG), _QUOTA),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), _FILES),
}

# Errors of the system that libraries report as text alone.
_NAMED = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENOMEM),
    *(errno.EIO, errno.ESTALE, errno.ENOLCK),
)
# The path cannot be used; this says nothing about its content.
_NOT_READ = (errno.EROFS, errno.EACCES, errno.EPERM)

# The first of an exception's classes that is listed counts. They are listed by top-level module and
# name, since no command imports all of these libraries.
_BY_CLASS = {
    "builtins.KeyboardInterrupt": _INTERRUPTED,
    "builtins.MemoryError": _RESOURCES,
    "builtins.RecursionError": _DAMAGED,
    "builtins.UnicodeError": _DAMAGED,
    "builtins.TimeoutError": _FAILED,
    "builtins.EOFError": _DAMAGED,
    "filelock.Timeout": "E_LOCKED",
    "json.JSONDecodeError": _DAMAGED,
    "yaml.YAMLError": _DAMAGED,
    "zipfile.BadZipFile": _DAMAGED,
    "zlib.error": _DAMAGED,
    "duckdb.InterruptException": _INTERRUPTED,
    "duckdb.OutOfMemoryException": _RESOURCES,
    "duckdb.BinderException": "E_INPUT_SCHEMA_INVALID",
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
    "rasterio.CPLE_OutOfMemoryError": _RESOURCES,
    "rasterio.CPLE_UserInterruptError": _INTERRUPTED,
    "rasterio.CPLE_BaseError": _DAMAGED,
    "rasterio.CRSError": _DAMAGED,
    "rasterio.RasterioError": _DAMAGED,
    "shapely.ShapelyError": _POLYGON,
    # Arrow, GDAL and gzip raise it without a number for damaged files.
    "builtins.OSError": _DAMAGED,
}
# Texts of exceptions that carry no number.
_BY_TEXT = {
    **{os.strerror(number): _FAILED for number in _NOT_READ},
    "std::bad_alloc": _RESOURCES,
    "can't start new thread": _RESOURCES,
    "failed to map segment": _RESOURCES,  # an ImportError of a library
    "embedded null": "E_USAGE",
    "integer string conversion": _DAMAGED,  # a number of thousands of digits
}
_LONGEST = 500
_OF_THE_MACHINE = {_FULL, _FAILED, _RESOURCES, _INTERRUPTED}


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
    if path is None and isinstance(error, OSError):
        path = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename
    code, hint = _code_and_hint(error)
    text = _text(error)
    if code == "E_INTERRUPTED":
        text = "the command was interrupted; nothing is half written"
    scope = {} if path is None else {"path": str(path)}
    if code == "E_INTERNAL":
        lines = "".join(traceback.format_exception(error))
        scope["traceback"] = lines.encode(errors="backslashreplace").decode()
    return Segment1BError(code, text if path is None else f"{path}: {text}", hint, **scope)


def raise_machine_fault(error: BaseException, path: object = None) -> None:
    """Raise the coded error of an exception that the machine has caused, not the data.

    To be called first wherever an exception is taken for a fault of the data: a disk that fails
    and a lack of space, memory or files prove nothing about them.
    """
    fault = coded(error, path)
    number = error.errno if isinstance(error, OSError) else None
    if fault.code in _OF_THE_MACHINE or number in _NOT_READ:
        raise fault from (None if fault is error else error)


@contextmanager
def coded_read_errors(
    path: Path,
    kinds: tuple[type[Exception], ...],
    problem: str = "cannot be read",
    hint: str | None = None,
) -> Iterator[None]:
    """Turn what a library raises for a damaged file, of these classes, into E_INPUT_UNREADABLE."""
    try:
        yield
    except kinds as error:
        raise_machine_fault(error, path)
        raise unreadable(path, f"{problem}: {error}", hint) from None


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


def _code_and_hint(error: BaseException) -> tuple[str, str | None]:
    number, text = error.errno if isinstance(error, OSError) else None, str(error)
    if number is None:
        number = next((one for one in _NAMED if os.strerror(one) in text), None)
    if number is not None:
        return _BY_ERRNO.get(number, _FAILED), _HINTS.get(number)
    for part, code in _BY_TEXT.items():
        if part in text:
            return code, "remove the NUL character from the path" if code == "E_USAGE" else None
    for kind in type(error).__mro__:
        module = kind.__module__.partition(".")[0].removeprefix("_")
        if f"{module}.{kind.__name__}" in _BY_CLASS:
            return _BY_CLASS[f"{module}.{kind.__name__}"], None
    return _INTERNAL, None


def _text(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:_LONGEST]}" if lines else type(error).__name__
