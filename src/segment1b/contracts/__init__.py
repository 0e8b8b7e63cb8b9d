"""The contracts: datasets, their paths, columns, keys and encodings; read from data, not code."""

from segment1b.contracts.dictionary import Contracts, Dataset, load
from segment1b.contracts.schemas import Column

__all__ = ["Column", "Contracts", "Dataset", "load"]
