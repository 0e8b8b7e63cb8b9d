-- code: E709_TILE_FK_VIOLATION
-- scope: T
-- proves: every tile that has a site has bounds
SELECT legal_country_iso, tile_id, n AS found FROM unknown_tiles ORDER BY 1, 2
