-- code: E105_NORMALIZATION
-- scope: C
-- proves: K gives every country at least min_units_per_tile units for each of its tiles
-- needs: parameter_policy_1B
SELECT
    w.country_iso, count(*) AS tiles, any_value(run.K) AS found,
    any_value(run.min_units_per_tile) * count(*) AS expected_at_least
FROM tile_weights AS w, run
GROUP BY w.country_iso
HAVING any_value(run.K) < any_value(run.min_units_per_tile) * count(*)
ORDER BY w.country_iso
