-- makes: jittered
-- needs: s6_site_jitter, used_tile_bounds
-- Each site's point as S7 reconstructs it, one rounding an operation, beside its tile; a tile that
-- has no bounds leaves nulls.
CREATE OR REPLACE TABLE jittered AS
SELECT
    j.merchant_id, j.legal_country_iso, j.site_order, j.tile_id,
    j.delta_lon_deg, j.delta_lat_deg,
    b.* EXCLUDE (country_iso, tile_id),
    wrapped(b.centroid_lon_deg + j.delta_lon_deg) AS lon,
    b.centroid_lat_deg + j.delta_lat_deg AS lat
FROM s6_site_jitter AS j
LEFT JOIN used_tile_bounds AS b
    ON b.country_iso = j.legal_country_iso AND b.tile_id = j.tile_id;
