-- code: {unsorted}
-- scope: {dataset_scope}
-- proves: the rows of {table} are in ascending order of ({key}), from file to file too
WITH written AS (
    SELECT
        part_name, part_row, {key},
        lag(row({key})) OVER () AS previous,
        lag(part_row) OVER () AS previous_row
    FROM {table}
)
SELECT part_name, part_row, {key}, previous
FROM written
WHERE row({key}) < previous
   -- OVER () goes by the order of reading: it must be the order of writing.
   OR (part_row <> 0 AND part_row IS DISTINCT FROM previous_row + 1)
ORDER BY part_name, part_row
