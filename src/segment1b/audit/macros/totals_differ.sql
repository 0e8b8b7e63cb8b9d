-- The fields in which a report of one row is not the row that is counted, by the counted fields.
CREATE OR REPLACE MACRO totals_differ(reported, counted) AS TABLE
SELECT field, r.value AS found, c.value AS expected
FROM (
    FROM (SELECT COLUMNS(*)::VARCHAR FROM query_table(counted))
    UNPIVOT INCLUDE NULLS (value FOR field IN (COLUMNS(*)))
) AS c
LEFT JOIN (
    FROM (SELECT COLUMNS(*)::VARCHAR FROM query_table(reported))
    UNPIVOT INCLUDE NULLS (value FOR field IN (COLUMNS(*)))
) AS r USING (field)
WHERE r.value IS DISTINCT FROM c.value
ORDER BY field
