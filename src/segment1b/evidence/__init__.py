"""Evidence of what a run did: the resource meter, reports, failure records, progress."""
