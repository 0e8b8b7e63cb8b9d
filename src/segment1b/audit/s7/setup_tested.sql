-- makes: unknown_tiles, outside_sites
-- needs: s7_site_synthesis, used_tile_bounds
-- Tiles without bounds, and sites outside their tile (docs/spec/s7-join.md#law).
CREATE OR REPLACE TABLE unknown_tiles AS
SELECT s.legal_country_iso, s.tile_id, s.n
FROM (
    SELECT legal_country_iso, tile_id, count(*)::HUGEINT AS n
    FROM s7_site_synthesis
    GROUP BY legal_country_iso, tile_id
) AS s
ANTI JOIN used_tile_bounds AS t ON t.country_iso = s.legal_country_iso AND t.tile_id = s.tile_id;
CREATE OR REPLACE TABLE outside_sites AS
SELECT
    y.merchant_id, y.legal_country_iso, y.site_order, y.tile_id, y.lon_deg, y.lat_deg,
    b.min_lon_deg, b.max_lon_deg, b.min_lat_deg, b.max_lat_deg
FROM s7_site_synthesis AS y
JOIN used_tile_bounds AS b ON b.country_iso = y.legal_country_iso AND b.tile_id = y.tile_id
WHERE NOT coalesce(
    y.lat_deg BETWEEN b.min_lat_deg AND b.max_lat_deg
    AND y.lon_deg >= -180 AND y.lon_deg < 180
    AND CASE
        WHEN b.min_lon_deg <= b.max_lon_deg
            THEN y.lon_deg BETWEEN b.min_lon_deg AND b.max_lon_deg
        ELSE y.lon_deg >= b.min_lon_deg OR y.lon_deg <= b.max_lon_deg
    END,
    false
);
