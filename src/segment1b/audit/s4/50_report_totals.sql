-- code: E415_RUN_REPORT_MISSING_FIELDS
-- scope: R
-- proves: rows, merchants, pairs, sites, law and dp of the run report are those of data and policy
-- needs: s4_alloc_plan, s4_run_report, parameter_policy_1B
SELECT t.*
FROM s4_run_report AS r, run, (
    SELECT
        count(*) AS rows, count(DISTINCT merchant_id) AS merchants,
        coalesce(sum(n_sites_tile), 0) AS sites,
        (SELECT count(*) FROM (SELECT DISTINCT merchant_id, legal_country_iso FROM s4_alloc_plan))
            AS pairs
    FROM s4_alloc_plan
) AS p, (VALUES
    ('rows_emitted', r.rows_emitted::VARCHAR, p.rows::VARCHAR),
    ('merchants_total', r.merchants_total::VARCHAR, p.merchants::VARCHAR),
    ('pairs_total', r.pairs_total::VARCHAR, p.pairs::VARCHAR),
    ('sites_total', r.sites_total::VARCHAR, p.sites::VARCHAR),
    ('law', r.law, run.law),
    ('dp', r.dp::VARCHAR, run.dp::VARCHAR)
) AS t(field, found, expected)
WHERE found IS DISTINCT FROM expected
ORDER BY field
