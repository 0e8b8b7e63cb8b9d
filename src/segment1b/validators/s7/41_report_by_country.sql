-- code: E515_RUN_REPORT_MISSING_FIELDS
-- scope: C
-- proves: sites and distinct tiles of each country are as reported
-- needs: s7_site_synthesis, s7_run_report
SELECT
    coalesce(r.country_iso, c.country_iso) AS country_iso,
    r.sites AS found, c.sites AS expected, r.tiles AS found_tiles, c.tiles AS expected_tiles
FROM s7_run_report_by_country AS r
FULL JOIN (
    SELECT
        legal_country_iso AS country_iso, count(*)::HUGEINT AS sites,
        count(DISTINCT tile_id)::HUGEINT AS tiles
    FROM s7_site_synthesis
    GROUP BY legal_country_iso
) AS c ON c.country_iso = r.country_iso
WHERE r.sites IS DISTINCT FROM c.sites OR r.tiles IS DISTINCT FROM c.tiles
ORDER BY 1
