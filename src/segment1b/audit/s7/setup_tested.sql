-- makes: unknown_tiles, outside_sites
-- needs: s7_site_synthesis, used_tile_bounds
-- Tiles without bounds, and sites outside their tile (docs/spec/s7-join.md#law).
CREATE OR REPLACE TABLE unknown_tiles AS
SELECT legal_country_iso, tile_id, count(*)::HUGEINT AS n
FROM s7_site_synthesis AS s
ANTI JOIN used_tile_bounds AS t ON t.country_iso = s.legal_country_iso AND t.tile_id = s.tile_id
GROUP BY legal_country_iso, tile_id;
CREATE OR REPLACE TABLE outside_sites AS
SELECT
    y.merchant_id, y.legal_country_iso, y.site_order, y.tile_id, y.lon_deg, y.lat_deg,
    b.min_lon_deg, b.max_lon_deg, b.min_lat_deg, b.max_lat_deg
FROM s7_site_synthesis AS y
JOIN used_tile_bounds AS b ON b.country_iso = y.legal_country_iso AND b.tile_id = y.tile_id
WHERE NOT in_tile(lon_deg, lat_deg, min_lon_deg, max_lon_deg, min_lat_deg, max_lat_deg);
