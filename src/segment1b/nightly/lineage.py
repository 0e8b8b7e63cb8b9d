"""OpenLineage events of a night: the night, its runs and their states, each a job of its own.

The events follow the specification 2-0-2 (openlineage.io): START, then COMPLETE or FAIL. A state's
parent is its run, a run's parent the night. A dataset is named by its path up to the first token,
so that the same dataset of another seed or policy keeps its name and gets another version.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from segment1b.contracts.program import VERSION
from segment1b.nightly.execution import PublishedDataset

_SPEC = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACETS = "https://openlineage.io/spec/facets"
_RECEIPT = "urn:segment1b:schemas.automation.yaml#/lineage/receipt_facet"
_PRODUCER = f"urn:segment1b:{VERSION}"
_INTEGRATION = {"processingType": "BATCH", "integration": "SEGMENT1B"}
_NIGHTS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:segment1b:nightly")
Json = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """One execution of a job: its name, the id of its run, its kind, namespace and parent."""

    name: str
    run_id: str
    kind: Literal["NIGHT", "RUN", "STATE"]
    namespace: str
    parent: Job | None = None


def night_job(namespace: str = "") -> Job:
    """Return a new night; its id is a UUIDv5 over host, process and start, so it is unique."""
    started = f"{socket.gethostname()}/{os.getpid()}/{time.time_ns()}"
    return Job("nightly", str(uuid.uuid5(_NIGHTS, started)), "NIGHT", namespace)


def child_job(parent: Job, name: str) -> Job:
    """Return a run of a night or a state of a run.

    The id is a UUIDv5 over the parent's id and the name: the summary, which holds the id of the
    night, thereby determines the ids of all its runs and states.
    """
    kind: Literal["RUN", "STATE"] = "RUN" if parent.kind == "NIGHT" else "STATE"
    full = name if parent.kind == "NIGHT" else f"{parent.name}.{name}"
    run_id = str(uuid.uuid5(uuid.UUID(parent.run_id), name))
    return Job(full, run_id, kind, parent.namespace, parent)


def start_event(job: Job, at: str) -> Json:
    """Return the event of a job that starts, at a time in RFC 3339."""
    jobs = {"jobType": _facet("2-0-3/JobTypeJobFacet", jobType=job.kind, **_INTEGRATION)}
    runs = {}
    if job.parent is not None:
        runs["parent"] = _facet(
            "1-0-1/ParentRunFacet",
            run={"runId": job.parent.run_id},
            job={"namespace": job.namespace, "name": job.parent.name},
        )
    return {
        "eventType": "START",
        "eventTime": at,
        "run": {"runId": job.run_id, "facets": runs},
        "job": {"namespace": job.namespace, "name": job.name, "facets": jobs},
        "inputs": [],
        "outputs": [],
        "producer": _PRODUCER,
        "schemaURL": _SPEC,
    }


def end_event(
    job: Job,
    at: str,
    error: str | None,
    inputs: Iterable[PublishedDataset] = (),
    outputs: Iterable[PublishedDataset] = (),
) -> Json:
    """Return the event of a job that has ended; `error` is code and message of what failed."""
    event = start_event(job, at)
    event["eventType"] = "COMPLETE" if error is None else "FAIL"
    event["inputs"] = [_dataset(one) for one in inputs]
    event["outputs"] = [{**_dataset(one), "outputFacets": _statistics(one)} for one in outputs]
    if error is not None:
        event["run"]["facets"]["errorMessage"] = _facet(
            "1-0-1/ErrorMessageRunFacet", message=error, programmingLanguage="Python"
        )
    return event


def dataset_name(root: Path, path: str) -> str:
    """Return a dataset's name: root and dictionary path, up to the first step with a token."""
    steps = path.rstrip("/").split("/")
    tokens = [number for number, step in enumerate(steps) if "{" in step]
    return "/".join([root.as_posix(), *steps[: tokens[0] if tokens else len(steps)]])


def _dataset(one: PublishedDataset) -> Json:
    dataset, digest = one.dataset, one.content_sha256_hex
    uri = one.path.as_uri()
    facets = {
        "dataSource": _facet("1-0-1/DatasourceDatasetFacet", name=dataset.id, uri=uri),
        "version": _facet("1-0-1/DatasetVersionDatasetFacet", datasetVersion=digest),
        "segment1b_receipt": {
            "_producer": _PRODUCER,
            "_schemaURL": _RECEIPT,
            "datasetId": dataset.id,
            "contentSha256Hex": digest,
        },
    }
    if dataset.columns:
        fields = [
            {"name": column.name, "type": column.type}
            | ({"description": f"in {column.unit}"} if column.unit else {})
            for column in dataset.columns
        ]
        facets["schema"] = _facet("1-1-1/SchemaDatasetFacet", fields=fields)
    root = one.path.parents[len(Path(dataset.path).parts) - 1]
    return {"namespace": "file", "name": dataset_name(root, dataset.path), "facets": facets}


def _statistics(one: PublishedDataset) -> Json:
    name = "1-0-2/OutputStatisticsOutputDatasetFacet"
    return {"outputStatistics": _facet(name, rowCount=one.rows, size=one.bytes)}


def _facet(name: str, /, **fields: Any) -> Json:
    kind = name.partition("/")[2]
    return {
        "_producer": _PRODUCER,
        "_schemaURL": f"{_FACETS}/{name}.json#/$defs/{kind}",
        **fields,
    }
