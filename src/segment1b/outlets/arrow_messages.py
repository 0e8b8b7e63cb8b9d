"""How large an Arrow stream is decompressed: Arrow itself allocates what each buffer claims.

The layout is that of Arrow's Message.fbs: a batch lists its buffers (offset, length); a compressed
buffer begins with its decompressed length.
"""

from __future__ import annotations

import struct
from pathlib import Path

import pyarrow as pa

from segment1b.errors import too_large
from segment1b.outlets import lists

#: Of all columns of one batch or dictionary, decompressed.
MAX_BATCH = 512 << 20
_DICTIONARY, _BATCH = 2, 3  # header types
_HEADER_TYPE, _HEADER = 1, 2  # fields of Message
_DATA = 1  # of DictionaryBatch
_BUFFERS, _COMPRESSION = 2, 3  # of RecordBatch
_MAX_MESSAGES = 1_000_000


def check_messages(path: Path, data: pa.NativeFile) -> None:
    """Refuse a stream, from its first message, that is too large when it is decompressed.

    Raises:
        Segment1BError: E_INPUT_TOO_LARGE.
        pa.ArrowException, OSError: it is no stream of messages.
    """
    total = 0
    for number in range(_MAX_MESSAGES):
        try:
            message = pa.ipc.read_message(data)
        except EOFError:
            return
        size = _decompressed(message)
        total += size
        if size > MAX_BATCH or total > lists.MAX_BYTES:
            what = (
                f"has {size:,} bytes in batch {number} and {total:,} so far; "
                f"the limits are {MAX_BATCH:,} and {lists.MAX_BYTES:,}"
            )
            raise too_large(path, what, "write it in smaller batches, one row a pair")
    raise too_large(path, f"has more than {_MAX_MESSAGES:,} batches", "write larger batches")


def _decompressed(message: pa.ipc.Message) -> int:
    """Return the bytes of a message's buffers; those without compression lie in the file."""
    table, body = memoryview(message.metadata), message.body
    try:
        root = _offset(table, 0)
        kind, header = _field(table, root, _HEADER_TYPE), _field(table, root, _HEADER)
        if body is None or not kind or not header or table[kind] not in (_DICTIONARY, _BATCH):
            return 0
        batch = _offset(table, header)
        if table[kind] == _DICTIONARY:
            batch = _offset(table, _field(table, batch, _DATA))
        if not _field(table, batch, _COMPRESSION):
            return int(body.size)
        start = _offset(table, _field(table, batch, _BUFFERS))
        (count,) = struct.unpack_from("<i", table, start)
        sizes = []
        for at in range(start + 4, start + 4 + 16 * count, 16):
            offset, length = struct.unpack_from("<qq", table, at)
            if length:
                (claimed,) = struct.unpack_from("<q", memoryview(body), offset)
                sizes.append(length if claimed == -1 else claimed)
    except (struct.error, IndexError, ValueError) as error:
        raise pa.ArrowInvalid(f"a batch that is not as Arrow writes it: {error}") from None
    if any(size < 0 for size in sizes):
        raise pa.ArrowInvalid("a buffer of negative length")
    return sum(sizes)


def _offset(table: memoryview, at: int) -> int:
    """Return where the offset at a position leads."""
    (step,) = struct.unpack_from("<I", table, at)
    return at + int(step)


def _field(table: memoryview, at: int, number: int) -> int:
    """Return where a field of a flatbuffers table is; 0 for one that is absent."""
    (back,) = struct.unpack_from("<i", table, at)
    (size,) = struct.unpack_from("<H", table, at - back)
    slot = 4 + 2 * number
    if slot >= size:
        return 0
    (step,) = struct.unpack_from("<H", table, at - back + slot)
    return at + step if step else 0
