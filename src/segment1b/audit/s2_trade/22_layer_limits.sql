-- code: E105_NORMALIZATION
-- scope: C
-- proves: sums of layers and products of people, cells and metres are below 2^62, and no listed
--   cell holds a bad number of people, of urban cells or of metres
WITH largest AS (
    SELECT country_iso, greatest(population, area, urban, urban_people, roads, largest_product) AS most
    FROM layer_sums
)
SELECT country_iso, most AS found, 4611686018427387904::HUGEINT AS expected_below
FROM largest
WHERE most >= 4611686018427387904::HUGEINT
UNION ALL
SELECT i.country_iso, count(*), 0
FROM tile_index AS i
JOIN bad_cells AS b ON b.tile_id = i.tile_id
GROUP BY i.country_iso
ORDER BY 1
