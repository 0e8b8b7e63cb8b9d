-- code: E008_INCLUSION_RULE
-- scope: C
-- proves: every country is listed by one of the two known rules, the same in all its rows
SELECT
    country_iso, count(*) AS tiles, min(inclusion_rule) AS found, max(inclusion_rule) AS found_too
FROM tile_index
GROUP BY country_iso
HAVING min(inclusion_rule) <> max(inclusion_rule)
    OR min(inclusion_rule) NOT IN ('center', 'any_overlap')
ORDER BY country_iso
