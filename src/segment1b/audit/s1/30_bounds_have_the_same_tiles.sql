-- code: E108_WRITER_HYGIENE
-- scope: T
-- proves: tile_bounds has the tiles of tile_index and no other
-- needs: tile_index, tile_bounds
FROM tiles_differ('tile_index', 'tile_bounds')
