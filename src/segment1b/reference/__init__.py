"""Reference surfaces: the embedded world, imports of own sources, checks of a data root."""
