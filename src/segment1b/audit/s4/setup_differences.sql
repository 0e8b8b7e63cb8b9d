-- makes: plan_differences
-- needs: s4_alloc_plan, s3_requirements, weights_by_trade, merchant_trade, expected_plan, solved,
--   parameter_policy_1B
-- Where the plan of a required pair is not the expected one, and whether all that is different in
-- the pair is at the cut: only tiles whose remainder is the cut's, each with or without one
-- more site. Such a pair was rounded right but for the tie rule.
CREATE OR REPLACE TABLE plan_differences AS
WITH different AS (
    SELECT
        merchant_id, legal_country_iso, tile_id,
        coalesce(f.n_sites_tile, 0)::HUGEINT AS found,
        coalesce(e.n_sites_tile, 0)::HUGEINT AS expected
    FROM s4_alloc_plan AS f
    FULL JOIN expected_plan AS e USING (merchant_id, legal_country_iso, tile_id)
    WHERE f.n_sites_tile IS DISTINCT FROM e.n_sites_tile
),
explained AS (
    SELECT
        d.*, r.n_sites,
        r.n_sites::HUGEINT * w.weight_fp // run.K AS floor,
        r.n_sites::HUGEINT * w.weight_fp % run.K AS remainder,
        s.cut
    FROM different AS d
    JOIN s3_requirements AS r USING (merchant_id, legal_country_iso)
    LEFT JOIN merchant_trade AS m USING (merchant_id)
    LEFT JOIN weights_by_trade AS w
        ON w.country_iso = d.legal_country_iso AND w.tile_id = d.tile_id
        AND w.trade = coalesce(m.trade, 'everything')
    LEFT JOIN solved AS s
        ON s.country_iso = d.legal_country_iso AND s.n_sites = r.n_sites
        AND s.trade = coalesce(m.trade, 'everything')
    CROSS JOIN run
)
SELECT
    *,
    coalesce(
        bool_and(remainder = cut AND found - floor IN (0, 1)) OVER pair
        AND sum(found - expected) OVER pair = 0,
        false
    ) AS only_ties
FROM explained
WINDOW pair AS (PARTITION BY merchant_id, legal_country_iso);
