-- code: E105_NORMALIZATION
-- scope: C
-- proves: every listed tile, and no other, has one centre for every people_per_centre people or
--   part of them, 1 to 512
-- needs: parameter_policy_1B
SELECT
    country_iso, tile_id, c.centres AS found,
    greatest(1, least(512, (m.by_basis + people - 1) // people)) AS expected
FROM tile_centres AS c
FULL JOIN masses AS m USING (country_iso, tile_id)
CROSS JOIN (SELECT 1000000 * people_per_centre AS people FROM run)
WHERE found IS DISTINCT FROM expected OR m.by_basis IS NULL
ORDER BY country_iso, tile_id
