"""Reference surfaces: the embedded world, and its population at other resolutions."""
