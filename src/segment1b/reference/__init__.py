"""Reference surfaces: the embedded world, imports from other sources, checks of a data root."""
