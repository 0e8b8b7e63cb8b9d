-- makes: jittered
-- needs: s6_site_jitter, used_tile_bounds
-- Each site's point as S7 reconstructs it, one rounding an operation, beside its tile; a tile that
-- has no bounds leaves nulls.
CREATE OR REPLACE VIEW jittered AS
SELECT
    *,
    CASE
        WHEN lon_sum >= 180 THEN lon_sum - 360
        WHEN lon_sum < -180 THEN lon_sum + 360
        ELSE lon_sum
    END AS lon
FROM (
    SELECT
        j.merchant_id, j.legal_country_iso, j.site_order, j.tile_id,
        j.delta_lon_deg, j.delta_lat_deg,
        b.min_lon_deg, b.max_lon_deg, b.min_lat_deg, b.max_lat_deg,
        b.centroid_lon_deg, b.centroid_lat_deg,
        b.centroid_lon_deg + j.delta_lon_deg AS lon_sum,
        b.centroid_lat_deg + j.delta_lat_deg AS lat
    FROM s6_site_jitter AS j
    LEFT JOIN used_tile_bounds AS b
        ON b.country_iso = j.legal_country_iso AND b.tile_id = j.tile_id
);
