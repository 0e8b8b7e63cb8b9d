-- code: E102_FK_MISMATCH
-- scope: C
-- proves: trade_weights has the tiles of tile_index and no other
-- needs: trade_weights, tile_index
FROM tiles_differ('trade_weights', 'tile_index')
