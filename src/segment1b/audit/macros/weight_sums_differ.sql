-- The countries whose weights are not 0..K, or do not sum to exactly K.
CREATE OR REPLACE MACRO weight_sums_differ(weights) AS TABLE
SELECT
    w.country_iso, sum(w.weight_fp) AS found, any_value(run.K) AS expected,
    min(w.weight_fp) AS least, max(w.weight_fp) AS largest
FROM query_table(weights) AS w, run
GROUP BY w.country_iso
HAVING sum(w.weight_fp) <> any_value(run.K)
    OR min(w.weight_fp) < 0
    OR max(w.weight_fp) > any_value(run.K)
ORDER BY w.country_iso
