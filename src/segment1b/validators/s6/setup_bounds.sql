-- makes: used_bounds
-- needs: s6_site_jitter, tile_bounds
-- The bounds of the tiles that have sites, read once: the world has hundreds of millions of others.
CREATE OR REPLACE TABLE used_bounds AS
SELECT
    b.country_iso, b.tile_id,
    b.min_lon_deg, b.max_lon_deg, b.min_lat_deg, b.max_lat_deg,
    b.centroid_lon_deg, b.centroid_lat_deg
FROM tile_bounds AS b
SEMI JOIN (
    SELECT DISTINCT legal_country_iso, tile_id FROM s6_site_jitter
) AS u
    ON u.legal_country_iso = b.country_iso AND u.tile_id = b.tile_id;
