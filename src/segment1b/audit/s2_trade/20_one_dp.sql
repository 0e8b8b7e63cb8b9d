-- code: E105_NORMALIZATION
-- scope: C
-- proves: dp is the policy's in every row of trade_weights
-- needs: parameter_policy_1B
SELECT w.country_iso, w.tile_id, w.dp AS found, run.dp AS expected
FROM trade_weights AS w, run
WHERE w.dp <> run.dp
ORDER BY w.country_iso, w.tile_id
