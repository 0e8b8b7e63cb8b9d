-- code: E102_FK_MISMATCH
-- scope: C
-- proves: trade_weights has the tiles of tile_index and no other
SELECT
    country_iso, tile_id, w.tile_id IS NOT NULL AS in_trade_weights,
    i.tile_id IS NOT NULL AS in_tile_index
FROM trade_weights AS w
FULL JOIN tile_index AS i USING (country_iso, tile_id)
WHERE w.tile_id IS NULL OR i.tile_id IS NULL
ORDER BY 1, 2
