-- code: E507_RNG_EVENT_MISMATCH
-- scope: S
-- proves: where sites are permuted, those of a pair in the order of (word, site_order) take its
--   tiles in ascending tile_id, each as often as s4_alloc_plan says
-- needs: parameter_policy_1B
WITH drawn AS (
    SELECT
        merchant_id, legal_country_iso, site_order, s.tile_id, e.word,
        row_number() OVER (
            PARTITION BY merchant_id, legal_country_iso ORDER BY e.word, site_order
        ) AS place
    FROM s5_site_tile_assignment AS s
    LEFT JOIN rng_event_site_tile_assign AS e USING (merchant_id, legal_country_iso, site_order)
    WHERE (SELECT law FROM run) <> 'stable'
),
stretches AS (
    SELECT
        merchant_id, legal_country_iso, tile_id, n_sites_tile,
        sum(n_sites_tile) OVER (
            PARTITION BY merchant_id, legal_country_iso ORDER BY tile_id
        )::BIGINT AS last_place
    FROM s4_alloc_plan
    WHERE (SELECT law FROM run) <> 'stable'
),
multiset AS (
    SELECT
        merchant_id, legal_country_iso, tile_id,
        unnest(range(last_place - n_sites_tile + 1, last_place + 1)) AS place
    FROM stretches
)
SELECT
    merchant_id, legal_country_iso, d.site_order, d.word, place,
    d.tile_id AS found, m.tile_id AS expected
FROM drawn AS d
LEFT JOIN multiset AS m USING (merchant_id, legal_country_iso, place)
WHERE m.tile_id IS DISTINCT FROM d.tile_id
ORDER BY 1, 2, 3
