-- code: E501_NO_S4_ALLOC_PLAN
-- scope: R
-- proves: s4_alloc_plan holds rows where the assignment does
SELECT 's4_alloc_plan' AS dataset, 'has no rows' AS reason
WHERE NOT EXISTS (FROM s4_alloc_plan) AND EXISTS (FROM s5_site_tile_assignment)
