"""The dataset dictionary: what each dataset is called, where it lies and how it is written."""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from segment1b.contracts.locations import (
    DICTIONARY,
    SCHEMAS,
    first_problem,
    nearest,
    read_yaml,
    refuse_unknown,
)
from segment1b.contracts.program import contracts_root
from segment1b.contracts.schemas import Column, Schemas
from segment1b.contracts.states import load_states
from segment1b.errors import CODES, Segment1BError, redo, visible

PATH_TOKENS = ("seed", "manifest_fingerprint", "parameter_hash", "run_id", "attempt", "trade")
_OF_TRADE = re.compile(r"(\w+)/([a-z][a-z0-9_]{0,63})")
_TOKEN = re.compile(r"\{(\w+)\}")
_FAULTS = {"schema", "extras", "duplicate", "unsorted", "receipt", "differs"}
Encoding = Literal[
    "PLAIN", "DICTIONARY", "DELTA_BINARY_PACKED", "DELTA_BYTE_ARRAY", "BYTE_STREAM_SPLIT"
]
_FAILED = "E_DICTIONARY_RESOLUTION_FAILED"


class Dataset(BaseModel):
    """One entry of the dictionary. Paths are relative to a data root, with `/` between steps."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: str
    owner: str
    kind: Literal["table", "file", "document", "folder"]
    path: str = Field(min_length=1)
    schema_ref: str
    licence: str = Field(min_length=1)
    retention_days: int = Field(ge=1)
    key: list[str] = []
    cut: Literal["tiles", "rows"] = "rows"
    encodings: dict[str, Encoding] = {}
    receipt_in: str | None = None
    receipt_field: str = "determinism_receipt"
    only_with: str = ""
    final_in_layer: bool = False
    volatile: list[str] = []
    version_tag: str = ""
    codes: dict[str, str] = {}
    columns: tuple[Column, ...] = ()

    def is_used(self, policy: Mapping[str, Any]) -> bool:
        """Return whether the dataset exists under a policy, given as its document."""
        value: Any = policy
        for key in self.only_with.split(".") if self.only_with else ():
            value = value.get(key) if isinstance(value, Mapping) else None
        return value is not None

    @property
    def tokens(self) -> tuple[str, ...]:
        """Return the identity tokens that the path names, in path order."""
        return tuple(_TOKEN.findall(self.path))

    def locate(self, tokens: Mapping[str, object]) -> str:
        """Return the path at one identity, without a final slash."""
        return self.path.format_map({name: tokens[name] for name in self.tokens}).rstrip("/")

    def partition(self, tokens: Mapping[str, object]) -> list[str]:
        """Return the path segments that carry tokens, for example `seed=42`."""
        return [step for step in self.locate(tokens).split("/") if "=" in step]

    @property
    def arrow_schema(self) -> pa.Schema:
        """Return the strict Arrow schema: these columns, these types, no nulls."""
        return pa.schema([pa.field(c.name, c.arrow_type, nullable=False) for c in self.columns])

    @property
    def words_schema(self) -> pa.Schema:
        """Return the schema with strings of few values as dictionaries: what writers hold."""
        words, schema = pa.dictionary(pa.int32(), pa.string()), self.arrow_schema
        for number, field in enumerate(schema):
            if self.encodings.get(field.name) == "DICTIONARY" and field.type == pa.string():
                schema = schema.set(number, field.with_type(words))
        return schema

    @property
    def redo(self) -> str:
        """Return the hint that makes this dataset again, or restores one that no state makes."""
        if re.fullmatch(r"S\d", self.owner):
            return redo(self.owner.lower())
        return f"restore {self.id} from its source"

    def code(self, fault: str) -> str:
        """Return the error code for a fault of this dataset's own rows (schema, unsorted, ...)."""
        default = "E_INPUT_SCHEMA_INVALID"
        if fault == "extras":
            default = self.code("schema")
        elif fault == "differs":
            default = "E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL"
        return self.codes.get(fault, default)

    def error(self, fault: str, what: str, hint: str, **scope: Any) -> Segment1BError:
        """Return the error with the code for a fault; its scope names this dataset."""
        return Segment1BError(self.code(fault), what, hint, dataset=self.id, **scope)


class Contracts:
    """A dictionary and the schemas its entries refer to."""

    def __init__(self, path: Path, schemas: Schemas) -> None:
        self.path, self.schemas = path, schemas
        raw = read_yaml(path, _FAILED)
        refuse_unknown(raw, ("version", "segment", "datasets"), _FAILED, str(path))
        entries = raw.get("datasets") or {}
        if not isinstance(entries, dict):
            raise Segment1BError(_FAILED, f"{path}: datasets is not a mapping")
        self._datasets = {name: self._entry(name, entry) for name, entry in entries.items()}

    def _entry(self, name: str, entry: Any) -> Dataset:
        place = f"{self.path}, dataset {name}"
        if not isinstance(entry, dict):
            raise Segment1BError(_FAILED, f"{place}: not a mapping", dataset=name)
        refuse_unknown(entry, set(Dataset.model_fields) - {"id", "columns"}, _FAILED, place)
        try:
            dataset = Dataset(id=name, **entry)
        except ValidationError as error:
            what = f"{place}: {': '.join(first_problem(error))}"
            hint = "every dataset needs path, licence and retention_days"
            raise Segment1BError(_FAILED, what, hint, dataset=name) from None
        refuse_unknown(dataset.codes, _FAULTS, _FAILED, f"{place}, codes")
        wrong = [token for token in dataset.tokens if token not in PATH_TOKENS]
        wrong += re.findall("[{}]", _TOKEN.sub("", dataset.path))
        if wrong or dataset.path.startswith("/") or ".." in dataset.path:
            what = f"{place}: path {dataset.path} is not usable"
            raise Segment1BError(
                _FAILED, what, f"tokens are {', '.join(PATH_TOKENS)}", dataset=name
            )
        return dataset.model_copy(update={"columns": self.schemas.columns(dataset.schema_ref)})

    def __getitem__(self, dataset_id: str) -> Dataset:
        """Return an entry; an unknown id is E_DICTIONARY_RESOLUTION_FAILED.

        `<id>/<trade>` is an entry of one trade: its path, and the report with its receipt.
        """
        if of_trade := _OF_TRADE.fullmatch(dataset_id):
            return _of_trade(self[of_trade[1]], of_trade[2], suffix=True)
        if dataset_id not in self._datasets:
            what = f"{self.path} has no dataset {visible(dataset_id)}"
            hint = nearest(dataset_id, self._datasets)
            raise Segment1BError(_FAILED, what, hint, dataset=dataset_id)
        return self._datasets[dataset_id]

    def __iter__(self) -> Iterator[Dataset]:
        """Iterate over all entries in file order."""
        return iter(self._datasets.values())

    def of_trade(self, trade: str) -> Contracts:
        """Return these contracts with the entries of one trade in the place of those of any."""
        own = copy.copy(self)
        own._datasets = {
            name: _of_trade(one, trade) if "trade" in one.tokens else one
            for name, one in self._datasets.items()
        }
        return own

    def redo(self, path: str) -> str:
        """Return the hint for the dataset that a path below a data root belongs to."""
        for dataset in self:
            if path.startswith(dataset.path.partition("{")[0]):
                return dataset.redo
        return "restore it from its source"

    def check(self) -> list[str]:
        """Return every disagreement between dictionary and schemas, empty when there is none."""
        found = []
        for dataset in self:
            found += [f"{dataset.id}: {problem}" for problem in self._disagreements(dataset)]
        for state, own in load_states().items():
            unknown = own.datasets - set(self._datasets)
            found += [f"{state}: unknown dataset {name}" for name in sorted(unknown)]
            found += [f"{state}: unknown code {code}" for code in sorted(own.codes - set(CODES))]
        return found

    def _disagreements(self, dataset: Dataset) -> Iterator[str]:
        kind, is_table = self.schemas.kind(dataset.schema_ref), dataset.kind == "table"
        if kind != dataset.kind and (is_table or dataset.kind == "document"):
            yield f"a {dataset.kind}, but its schema is a {kind}"
        names = {column.name for column in dataset.columns}
        for part, columns in (("key", dataset.key), ("encodings", dataset.encodings)):
            unknown = [column for column in columns if names and column not in names]
            yield from (f"{part} names unknown column {column}" for column in unknown)
        if dataset.receipt_in and dataset.receipt_in not in self._datasets:
            yield f"receipt_in names unknown {dataset.receipt_in}"
        if dataset.receipt_in and is_table and not dataset.key:
            yield "no key"
        if dataset.receipt_in and is_table and (bare := names - set(dataset.encodings)):
            yield f"no encoding for {sorted(bare)}"
        unknown = sorted(set(dataset.codes.values()) - set(CODES))
        yield from (f"unknown code {code}" for code in unknown)


def _of_trade(dataset: Dataset, trade: str, *, suffix: bool = False) -> Dataset:
    """Return an entry with a trade in its path; `suffix` marks its id and its report's."""
    end = f"/{trade}" if suffix else ""
    update: dict[str, Any] = {"id": dataset.id + end}
    update["path"] = dataset.path.replace("{trade}", trade)
    if dataset.receipt_in:
        update["receipt_in"] = dataset.receipt_in + end
    return dataset.model_copy(update=update)


@functools.lru_cache(maxsize=8)
def load(dictionary: str | Path | None = None) -> Contracts:
    """Return the contracts: the packaged dictionary, or the one at the path given.

    Raises:
        Segment1BError: E_DICTIONARY_RESOLUTION_FAILED, E_SCHEMA_RESOLUTION_FAILED.
    """
    root = contracts_root()
    path = Path(dictionary) if dictionary else root / DICTIONARY
    return Contracts(path, Schemas(root / SCHEMAS))
