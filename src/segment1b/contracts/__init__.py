"""The contracts: datasets, their paths, columns, keys and encodings; read from data, not code."""

from segment1b.contracts.dictionary import Contracts, Dataset, load
from segment1b.contracts.schemas import Column
from segment1b.contracts.states import StateContract, load_states

__all__ = ["Column", "Contracts", "Dataset", "StateContract", "load", "load_states"]
