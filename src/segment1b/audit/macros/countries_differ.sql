-- The countries and fields in which a report is not what is counted, by the counted fields.
CREATE OR REPLACE MACRO countries_differ(reported, counted) AS TABLE
WITH found AS (
    FROM (SELECT country_iso, COLUMNS(* EXCLUDE (country_iso))::VARCHAR FROM query_table(reported))
    UNPIVOT INCLUDE NULLS (found FOR field IN (COLUMNS(* EXCLUDE (country_iso))))
),
expected AS (
    FROM (SELECT country_iso, COLUMNS(* EXCLUDE (country_iso))::VARCHAR FROM query_table(counted))
    UNPIVOT INCLUDE NULLS (expected FOR field IN (COLUMNS(* EXCLUDE (country_iso))))
)
SELECT country_iso, field, found, expected
FROM found
FULL JOIN expected USING (country_iso, field)
WHERE found IS DISTINCT FROM expected
   AND (field IN (SELECT field FROM expected) OR NOT EXISTS (FROM expected))
ORDER BY country_iso, field
