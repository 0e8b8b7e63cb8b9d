-- makes: expected_plan, solved
-- needs: s3_requirements, weights_by_trade, merchant_trade, parameter_policy_1B
-- The plan as largest remainder gives it: z = floor(n*w/K), r = n*w mod K, one more site to the
-- n - sum(z) tiles with the largest r, equal r by ascending tile_id. All in HUGEINT.
--
-- The result depends on (country, trade, n) alone, so each distinct n is solved once. And only the n
-- heaviest tiles (weight descending, tile_id ascending) can receive a site: tiles with n*w >= K
-- come first in that order, and as the weights sum to K there are at most n of them, each with a
-- floor of at least 1. Any tile behind them has floor 0 and remainder n*w, so among those a larger
-- remainder is a larger weight and ties fall to the lower tile_id, which is again the order. The
-- units they receive are at most n minus the number of tiles before them: all within the first n.
-- One tile more is taken along, to see whether the last unit was decided by the tie rule.
CREATE OR REPLACE TABLE sizes AS
SELECT
    legal_country_iso AS country_iso, coalesce(trade, 'everything') AS trade, n_sites,
    count(*)::HUGEINT AS pairs
FROM s3_requirements
LEFT JOIN merchant_trade USING (merchant_id)
GROUP BY ALL;

CREATE OR REPLACE TABLE heaviest AS
SELECT country_iso, trade, tile_id, weight_fp, place
FROM (
    SELECT
        country_iso, trade, tile_id, weight_fp,
        row_number() OVER (
            PARTITION BY country_iso, trade ORDER BY weight_fp DESC, tile_id
        ) AS place
    FROM weights_by_trade
    WHERE country_iso IN (SELECT country_iso FROM sizes)
)
JOIN (SELECT country_iso, trade, max(n_sites) AS largest FROM sizes GROUP BY country_iso, trade)
    USING (country_iso, trade)
WHERE place <= largest + 1;

CREATE OR REPLACE TABLE shares AS
WITH claims AS (
    SELECT
        row(s.country_iso, s.trade, s.n_sites) AS claimant, s.country_iso, s.trade, s.n_sites,
        s.pairs, h.tile_id,
        s.n_sites AS units, h.weight_fp AS mass, run.K AS total
    FROM sizes AS s
    JOIN heaviest AS h
        ON h.country_iso = s.country_iso AND h.trade = s.trade AND h.place <= s.n_sites + 1
    CROSS JOIN run
)
FROM largest_remainder('claims');

-- The cut is the smallest remainder that received a unit; it was a tie when a tile with that very
-- remainder received none.
CREATE OR REPLACE TABLE solved AS
SELECT
    country_iso, trade, n_sites, any_value(pairs) AS pairs, any_value(shortfall) AS shortfall,
    any_value(cut) AS cut,
    CASE WHEN count(*) FILTER (WHERE remainder = cut AND place > shortfall) > 0
        THEN count(*) FILTER (WHERE remainder = cut AND place <= shortfall)
        ELSE 0
    END::HUGEINT AS ties
FROM (
    SELECT
        *,
        min(CASE WHEN place <= shortfall THEN remainder END)
            OVER (PARTITION BY country_iso, trade, n_sites) AS cut
    FROM shares
)
GROUP BY country_iso, trade, n_sites;

CREATE OR REPLACE TABLE expected_plan AS
SELECT r.merchant_id, r.legal_country_iso, s.tile_id, s.share AS n_sites_tile
FROM s3_requirements AS r
LEFT JOIN merchant_trade AS m USING (merchant_id)
JOIN shares AS s
    ON s.country_iso = r.legal_country_iso AND s.n_sites = r.n_sites
    AND s.trade = coalesce(m.trade, 'everything')
WHERE s.share > 0;
