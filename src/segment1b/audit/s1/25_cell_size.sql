-- code: E002_RASTER_MISMATCH
-- scope: R
-- proves: the raster has the cell size that the policy asks for, where it asks for one
-- needs: population_raster_2025, parameter_policy_1B
SELECT a AS found, "grid" AS expected
FROM run
WHERE abs(a - "grid") > 1e-9 * "grid"
