-- code: E414_WEIGHT_TAMPER
-- scope: C
-- proves: the weights of every required country, by every trade in use, sum to K under one dp, the policy's
-- needs: parameter_policy_1B
SELECT
    w.country_iso, w.trade, sum(w.weight_fp) AS found, any_value(run.K) AS expected,
    min(w.dp) AS least_dp, max(w.dp) AS largest_dp, any_value(run.dp) AS expected_dp
FROM weights_by_trade AS w, run
WHERE w.country_iso IN (SELECT DISTINCT legal_country_iso FROM s3_requirements)
GROUP BY w.country_iso, w.trade
HAVING sum(w.weight_fp) <> any_value(run.K)
    OR min(w.dp) <> any_value(run.dp)
    OR max(w.dp) <> any_value(run.dp)
    OR min(w.weight_fp) < 0
ORDER BY w.country_iso, w.trade
