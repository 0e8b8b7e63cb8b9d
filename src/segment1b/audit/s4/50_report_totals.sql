-- code: E415_RUN_REPORT_MISSING_FIELDS
-- scope: R
-- proves: rows, merchants, pairs, sites, law and dp of the run report are those of data and policy
-- needs: s4_alloc_plan, s4_run_report, parameter_policy_1B
SELECT *
FROM (
    SELECT 'rows_emitted' AS field, r.rows_emitted::VARCHAR AS found,
        (SELECT count(*) FROM s4_alloc_plan)::VARCHAR AS expected
    FROM s4_run_report AS r
    UNION ALL
    SELECT 'merchants_total', r.merchants_total::VARCHAR,
        (SELECT count(DISTINCT merchant_id) FROM s4_alloc_plan)::VARCHAR
    FROM s4_run_report AS r
    UNION ALL
    SELECT 'pairs_total', r.pairs_total::VARCHAR,
        (
            SELECT count(*)
            FROM (SELECT DISTINCT merchant_id, legal_country_iso FROM s4_alloc_plan)
        )::VARCHAR
    FROM s4_run_report AS r
    UNION ALL
    SELECT 'sites_total', r.sites_total::VARCHAR,
        (SELECT coalesce(sum(n_sites_tile), 0) FROM s4_alloc_plan)::VARCHAR
    FROM s4_run_report AS r
    UNION ALL
    SELECT 'law', r.law, run.law FROM s4_run_report AS r, run
    UNION ALL
    SELECT 'dp', r.dp::VARCHAR, run.dp::VARCHAR FROM s4_run_report AS r, run
)
WHERE found IS DISTINCT FROM expected
ORDER BY field
