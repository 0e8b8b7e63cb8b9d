-- code: E105_NORMALIZATION
-- scope: C
-- proves: the trade's weights of each country are 0..K and sum to exactly K = 10^dp
-- needs: parameter_policy_1B, trade_weights
FROM weight_sums_differ('trade_weights')
