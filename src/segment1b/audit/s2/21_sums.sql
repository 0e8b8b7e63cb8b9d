-- code: E105_NORMALIZATION
-- scope: C
-- proves: the weights of each country are 0..K and sum to exactly K = 10^dp
-- needs: parameter_policy_1B, tile_weights
FROM weight_sums_differ('tile_weights')
