-- makes: centre_tiles
-- needs: used_tile_bounds, used_tile_index, used_tile_centres, parameter_policy_1B
-- The tiles with sites that are four radii wide and high: their centres, and the radius in degrees.
CREATE OR REPLACE TABLE centre_tiles AS
WITH degrees AS (
    SELECT
        b.country_iso, b.tile_id, c.centres, i.pixel_area_m2, run.radius_m::DOUBLE AS radius_m,
        b.max_lat_deg - b.min_lat_deg AS height_deg,
        b.max_lon_deg - b.min_lon_deg
            + CASE WHEN b.max_lon_deg < b.min_lon_deg THEN 360 ELSE 0 END::DOUBLE AS width_deg
    FROM used_tile_bounds AS b
    JOIN used_tile_index AS i USING (country_iso, tile_id)
    JOIN used_tile_centres AS c USING (country_iso, tile_id)
    CROSS JOIN run
),
metres AS (
    SELECT *, height_deg * 111195::DOUBLE AS height_m, pixel_area_m2 / height_m AS width_m
    FROM degrees
)
SELECT
    country_iso, tile_id, centres,
    radius_m * (width_deg / width_m) AS radius_lon_deg,
    radius_m / 111195::DOUBLE AS radius_lat_deg
FROM metres
WHERE height_m >= 4 * radius_m AND width_m >= 4 * radius_m;
