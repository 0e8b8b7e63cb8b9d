-- makes: tile_layers, layer_sums, layer_shares
-- needs: tile_index, cell_masses, urban_cells, road_cells, parameter_policy_1B
-- The layers of each tile and their shares of K. A tile of a coarser grid has the sum of its cells.
-- Tiles of a finer one each have the urban value of their cell; its metres are dealt evenly,
-- `metres // n` to each of its n tiles and one more to the first `metres % n` in raster order.

-- The root of x is the s with s*s <= x < (s+1)*(s+1), which a float root misses by one at most.
CREATE OR REPLACE TABLE tile_layers AS
WITH placed AS (
    SELECT
        i.country_iso, i.tile_id,
        coalesce(m.mass, 0)::HUGEINT AS population,
        CAST(1000 * i.pixel_area_m2 AS BIGINT)::HUGEINT AS area,
        coalesce(u.value, 0)::HUGEINT AS urban,
        coalesce(
            r.value // r.tiles_in_cell + (r.place < r.value % r.tiles_in_cell)::INT, 0
        )::HUGEINT AS metres
    FROM tile_index AS i
    LEFT JOIN cell_masses AS m ON m.tile_id = i.tile_id
    LEFT JOIN tile_cells('tile_index', 'urban_cells', 'urban_cells_2019_grid') AS u ON u.tile_id = i.tile_id
    LEFT JOIN tile_cells('tile_index', 'road_cells', 'road_metres_2026_grid') AS r ON r.tile_id = i.tile_id
),
squared AS (
    SELECT
        *, population * urban AS urban_people, population // 1000 * metres AS x,
        CAST(floor(sqrt(CAST(population // 1000 * metres AS DOUBLE))) AS HUGEINT) AS s
    FROM placed
)
SELECT
    country_iso, tile_id, population, area, urban, urban_people, metres, x,
    CASE
        WHEN s * s <= x AND x < (s + 1) * (s + 1) THEN s
        WHEN (s - 1) * (s - 1) <= x AND x < s * s THEN s - 1
        WHEN (s + 1) * (s + 1) <= x AND x < (s + 2) * (s + 2) THEN s + 1
    END AS roads
FROM squared;

CREATE OR REPLACE TABLE layer_sums AS
SELECT
    country_iso, count(*)::HUGEINT AS tiles, sum(population) AS population, sum(area) AS area,
    sum(urban) AS urban, sum(urban_people) AS urban_people, sum(roads) AS roads,
    sum(metres) AS metres, max(x) AS largest_product
FROM tile_layers
GROUP BY country_iso;

CREATE OR REPLACE TABLE layer_shares AS
WITH long AS (
    FROM (SELECT country_iso, tile_id, population, area, urban, urban_people, roads FROM tile_layers)
    UNPIVOT (mass FOR layer IN (population, area, urban, urban_people, roads))
),
claims AS (
    SELECT
        country_iso || ' ' || layer AS claimant, country_iso, layer, tile_id, mass,
        run.K AS units, s.total
    FROM long
    JOIN (
        FROM layer_sums UNPIVOT (total FOR layer IN (population, area, urban, urban_people, roads))
    ) AS s USING (country_iso, layer)
    CROSS JOIN run
    WHERE s.total > 0
)
SELECT
    country_iso, tile_id,
    coalesce(max(share) FILTER (layer = 'population'), 0) AS population,
    coalesce(max(share) FILTER (layer = 'area'), 0) AS area,
    coalesce(max(share) FILTER (layer = 'urban'), 0) AS urban,
    coalesce(max(share) FILTER (layer = 'urban_people'), 0) AS urban_people,
    coalesce(max(share) FILTER (layer = 'roads'), 0) AS roads
FROM largest_remainder('claims')
GROUP BY country_iso, tile_id;
