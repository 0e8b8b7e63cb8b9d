"""What a state does on workers: each call has a reader of its own, whose bytes are counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from segment1b.contracts.faults import coded_faults
from segment1b.pipeline.engines import Pool, in_order
from segment1b.states import STATES, TRADES
from segment1b.states.protocol import Item, Result, Run, ShardResult, State
from segment1b.storage.reader import Reader

_STATES = {**STATES, TRADES.id: TRADES}


@dataclass
class Workers:
    """The workers of one state of a run.

    Attributes:
        state, run: whose work it is.
        pool: who does it.
        count: how many calls are at work at once.
        read: bytes read by dataset, of all calls that have ended.
    """

    state: State
    run: Run
    pool: Pool
    count: int
    read: Counter[str] = field(default_factory=Counter)

    def results(
        self, work: Callable[[Run, Reader, Item], Result], items: Iterable[Item]
    ) -> Iterator[Result]:
        """Yield the result of a call for each item, in their order."""
        call = partial(_call, self.state.id, self.run, work)
        for result, read in in_order(self.pool, call, items, self.count):
            self.read.update(read)
            yield result

    def longest_first(self, shards: Sequence[Any]) -> Iterator[tuple[int, ShardResult]]:
        """Yield the number and the result of each shard, those first that take longest."""
        order = sorted(range(len(shards)), key=lambda number: -self.state.cost(shards[number]))
        results = self.results(work_of(self.state), [shards[number] for number in order])
        return zip(order, results, strict=True)

    def __call__(
        self, work: Callable[[Run, Reader, Item], Result], items: Iterable[Item], /
    ) -> list[Result]:
        """Return all the results together, as `states.protocol.OnWorkers` says."""
        return list(self.results(work, items))


def work_of(state: State) -> Callable[[Run, Reader, Any], ShardResult]:
    """Return the function that works a shard of a state on a worker."""
    return partial(_work, state.id)


def _work(state_id: str, run: Run, reader: Reader, shard: Any) -> ShardResult:
    return _STATES[state_id].work(run, reader, shard)


def _call(
    state_id: str, run: Run, work: Callable[[Run, Reader, Item], Result], item: Item
) -> tuple[Result, Counter[str]]:
    # Coded by the worker: not every exception is whole after pickle.
    with coded_faults():
        reader = run.reader(_STATES[state_id])
        return work(run, reader, item), reader.bytes_read
