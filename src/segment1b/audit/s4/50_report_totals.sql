-- code: E415_RUN_REPORT_MISSING_FIELDS
-- scope: R
-- proves: rows, merchants, pairs, sites, law and dp of the run report are those of data and policy
-- needs: parameter_policy_1B
WITH counted AS (
    SELECT
        count(*) AS rows_emitted, count(DISTINCT merchant_id) AS merchants_total,
        count(DISTINCT (merchant_id, legal_country_iso)) AS pairs_total,
        coalesce(sum(n_sites_tile), 0) AS sites_total,
        (SELECT law FROM run) AS law, (SELECT dp FROM run) AS dp
    FROM s4_alloc_plan
)
FROM totals_differ('s4_run_report', 'counted')
