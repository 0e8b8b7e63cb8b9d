-- code: E308_COUNTS_MISMATCH
-- scope: P
-- proves: n_sites is the number of the pair's outlets, for every pair that is not excluded
SELECT merchant_id, legal_country_iso, r.n_sites AS found, c.n_sites AS expected
FROM s3_requirements AS r
FULL JOIN (FROM counted WHERE NOT excluded) AS c USING (merchant_id, legal_country_iso)
WHERE r.n_sites IS DISTINCT FROM c.n_sites
ORDER BY 1, 2
