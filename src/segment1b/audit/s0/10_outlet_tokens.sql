-- code: E_PATH_EMBED_MISMATCH
-- scope: R
-- proves: every row of outlet_catalogue carries the fingerprint and the seed of this identity
SELECT
    o.part_name, o.part_row, o.merchant_id, o.legal_country_iso, o.site_order,
    o.manifest_fingerprint AS found_fingerprint, run.manifest_fingerprint AS expected_fingerprint,
    o.global_seed AS found_seed, run.seed AS expected_seed
FROM outlet_catalogue AS o, run
WHERE o.manifest_fingerprint IS DISTINCT FROM run.manifest_fingerprint
   OR o.global_seed IS DISTINCT FROM run.seed
ORDER BY o.part_name, o.part_row
