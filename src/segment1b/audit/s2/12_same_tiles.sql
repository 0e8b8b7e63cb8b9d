-- code: E102_FK_MISMATCH
-- scope: C
-- proves: tile_weights has the tiles of tile_index and no other
-- needs: tile_weights, tile_index
FROM tiles_differ('tile_weights', 'tile_index')
