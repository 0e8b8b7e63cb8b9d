-- Whether a point lies in a tile, edges included, and west of 180; west > east marks a tile across
-- the date line.
CREATE OR REPLACE MACRO in_tile(lon, lat, west, east, south, north) AS
    coalesce(
        lat BETWEEN south AND north
        AND lon >= -180 AND lon < 180
        AND CASE WHEN west <= east THEN lon BETWEEN west AND east ELSE lon >= west OR lon <= east END,
        false
    )
