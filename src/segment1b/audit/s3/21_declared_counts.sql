-- code: E308_COUNTS_MISMATCH
-- scope: P
-- proves: final_country_outlet_count is the number of the pair's outlets in each of its rows
SELECT
    merchant_id, legal_country_iso, least_declared, most_declared, undeclared,
    n_sites AS expected
FROM counted
WHERE undeclared > 0 OR least_declared <> n_sites OR most_declared <> n_sites
ORDER BY merchant_id, legal_country_iso
