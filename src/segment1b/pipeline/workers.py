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

    def shards(
        self, shards: Sequence[Any], done: Callable[[ShardResult], None] | None = None
    ) -> list[ShardResult]:
        """Return the results of the state's shards in their order; the longest are begun first.

        `done` is called with each result as soon as it is there.
        """
        order = sorted(range(len(shards)), key=lambda number: -self.state.cost(shards[number]))
        work = partial(_work, self.state.id)
        found = dict[int, ShardResult]()
        results = self.results(work, [shards[number] for number in order])
        for number, result in zip(order, results, strict=True):
            found[number] = result
            if done:
                done(result)
        return [found[number] for number in range(len(shards))]

    def __call__(
        self, work: Callable[[Run, Reader, Item], Result], items: Iterable[Item], /
    ) -> list[Result]:
        """Return all the results together, as `states.protocol.OnWorkers` says."""
        return list(self.results(work, items))


def _work(state_id: str, run: Run, reader: Reader, shard: Any) -> ShardResult:
    return _STATES[state_id].work(run, reader, shard)


def _call(
    state_id: str, run: Run, work: Callable[[Run, Reader, Item], Result], item: Item
) -> tuple[Result, Counter[str]]:
    # Coded by the worker: not every exception is whole after pickle.
    with coded_faults():
        reader = run.reader(_STATES[state_id])
        return work(run, reader, item), reader.bytes_read
