-- code: E404_ALLOCATION_MISMATCH
-- scope: P
-- proves: the sites of every pair add up to its requirement, and no other pair is in the plan
SELECT merchant_id, legal_country_iso, p.sites AS found, r.n_sites AS expected
FROM s3_requirements AS r
FULL JOIN (
    SELECT merchant_id, legal_country_iso, sum(n_sites_tile) AS sites
    FROM s4_alloc_plan
    GROUP BY merchant_id, legal_country_iso
) AS p USING (merchant_id, legal_country_iso)
WHERE p.sites IS DISTINCT FROM r.n_sites
ORDER BY 1, 2
