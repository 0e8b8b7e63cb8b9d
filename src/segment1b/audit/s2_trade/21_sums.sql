-- code: E105_NORMALIZATION
-- scope: C
-- proves: the trade's weights of each country are 0..K and sum to exactly K = 10^dp
-- needs: parameter_policy_1B
SELECT
    w.country_iso, sum(w.weight_fp) AS found, any_value(run.K) AS expected,
    min(w.weight_fp) AS least, max(w.weight_fp) AS largest
FROM trade_weights AS w, run
GROUP BY w.country_iso
HAVING sum(w.weight_fp) <> any_value(run.K)
    OR min(w.weight_fp) < 0
    OR max(w.weight_fp) > any_value(run.K)
ORDER BY w.country_iso
