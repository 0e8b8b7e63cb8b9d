-- code: E515_RUN_REPORT_MISSING_FIELDS
-- scope: C
-- proves: sites, distinct tiles and sites inside their tile of each country are as reported
-- needs: s7_site_synthesis, unknown_tiles, outside_sites, s7_run_report
WITH failed AS (
    SELECT legal_country_iso, sum(n)::HUGEINT AS n
    FROM (
        SELECT legal_country_iso, n FROM unknown_tiles
        UNION ALL
        SELECT legal_country_iso, 1 FROM outside_sites
    )
    GROUP BY legal_country_iso
),
counted AS (
    SELECT
        legal_country_iso AS country_iso, count(*)::HUGEINT AS sites,
        count(DISTINCT tile_id)::HUGEINT AS tiles,
        count(*)::HUGEINT - coalesce(any_value(f.n), 0) AS inside
    FROM s7_site_synthesis
    LEFT JOIN failed AS f USING (legal_country_iso)
    GROUP BY legal_country_iso
)
SELECT
    coalesce(r.country_iso, c.country_iso) AS country_iso,
    r.sites AS found, c.sites AS expected, r.tiles AS found_tiles, c.tiles AS expected_tiles,
    r.inside AS found_inside, c.inside AS expected_inside
FROM s7_run_report_by_country AS r
FULL JOIN counted AS c ON c.country_iso = r.country_iso
WHERE r.sites IS DISTINCT FROM c.sites
   OR r.tiles IS DISTINCT FROM c.tiles
   OR r.inside IS DISTINCT FROM c.inside
ORDER BY 1
