-- code: E604_PARTITION_OR_IDENTITY
-- scope: S
-- proves: every row carries the manifest_fingerprint of its path
SELECT
    j.merchant_id, j.legal_country_iso, j.site_order,
    j.manifest_fingerprint AS found, run.manifest_fingerprint AS expected
FROM s6_site_jitter AS j, run
WHERE j.manifest_fingerprint IS DISTINCT FROM run.manifest_fingerprint
ORDER BY 1, 2, 3
