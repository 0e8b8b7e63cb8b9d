-- code: {duplicate}
-- scope: {row_scope}
-- proves: no key ({key}) occurs twice in {table}
WITH steps AS (
    SELECT row({key}) <= lag(row({key})) OVER () AS stays
    FROM {table}
)
SELECT {key}, count(*) AS found{suffix}, 1 AS expected{suffix}
FROM {table}
-- Keys that rise from row to row are unique; only others must be counted.
WHERE (SELECT coalesce(bool_or(stays), false) FROM steps)
GROUP BY {key}
HAVING count(*) > 1
ORDER BY {key}
