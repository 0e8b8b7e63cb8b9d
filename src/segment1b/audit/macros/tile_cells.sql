-- What tiles have of a layer, whose place is in `grid`. A tile that holds cells has their sum. One
-- that lies in a cell has the cell's value, and its place among the cell's tiles in raster order.
CREATE OR REPLACE MACRO tile_cells(tiles, cells, grid) AS TABLE
SELECT
    i.tile_id, c.value::HUGEINT AS value, (g.side * g.side)::HUGEINT AS tiles_in_cell,
    (i.r + g.first_row) % g.side * g.side
        + ((i.c + g.first_col) % g.turn + g.turn) % g.turn % g.side AS place
FROM (
    SELECT DISTINCT tile_id, raster_row::BIGINT AS r, raster_col::BIGINT AS c
    FROM query_table(tiles)
) AS i
CROSS JOIN query_table(grid) AS g
JOIN query_table(cells) AS c
    ON c.cell_row = (i.r + g.first_row)::BIGINT // g.side::BIGINT
    AND c.cell_col = ((i.c + g.first_col)::BIGINT % g.turn::BIGINT + g.turn::BIGINT)
        % g.turn::BIGINT // g.side::BIGINT
WHERE NOT g.holds
UNION ALL
SELECT (tile_row * run.ncols + tile_col)::UBIGINT, sum(value)::HUGEINT, 1, 0
FROM (
    SELECT
        (c.cell_row - g.first_row) // g.side AS tile_row, c.cell_row >= g.first_row AS below,
        ((c.cell_col - g.first_col) % g.turn + g.turn) % g.turn // g.side AS tile_col, c.value
    FROM query_table(cells) AS c
    CROSS JOIN query_table(grid) AS g
    WHERE g.holds
), run
WHERE below AND tile_row < run.nrows AND tile_col < run.ncols
GROUP BY tile_row, tile_col, run.ncols
