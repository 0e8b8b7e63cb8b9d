"""Making the next item while the last one is used."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

Item = TypeVar("Item")
_END: Final = object()


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Yield the items in order, each made in a thread while the caller works on the one before."""
    with ThreadPoolExecutor(1, thread_name_prefix="segment1b-ahead") as thread:
        coming = thread.submit(next, items, _END)
        while (item := coming.result()) is not _END:
            coming = thread.submit(next, items, _END)
            yield item  # type: ignore[misc]
