-- makes: country_percents, mixed
-- needs: layer_sums, layer_shares, mixture, parameter_policy_1B
-- The percents of each country, and the trade's weights, by largest remainder of the mixed masses.
CREATE OR REPLACE TABLE country_percents AS
WITH kept AS (
    SELECT
        s.country_iso, s.population = 0 AS empty,
        CASE WHEN s.area > 0 THEN m.area ELSE 0 END AS area,
        CASE WHEN s.urban > 0 AND NOT empty
            THEN m.urban * least(m.boost * s.urban_people, m.cells * s.population)
                // (m.cells * s.population)
            ELSE 0 END AS urban,
        CASE WHEN s.urban_people > 0 AND NOT empty
            THEN m.urban_people * least(m.boost * s.urban_people, m.cells * s.population)
                // (m.cells * s.population)
            ELSE 0 END AS urban_people,
        CASE WHEN s.roads > 0 THEN m.roads ELSE 0 END AS roads
    FROM layer_sums AS s
    CROSS JOIN mixture AS m
)
SELECT
    country_iso, empty,
    CASE WHEN empty THEN 0 ELSE 100 - area - urban - urban_people - roads END AS population,
    CASE WHEN empty THEN 100 ELSE area END AS area,
    CASE WHEN empty THEN 0 ELSE urban END AS urban,
    CASE WHEN empty THEN 0 ELSE urban_people END AS urban_people,
    CASE WHEN empty THEN 0 ELSE roads END AS roads
FROM kept;

CREATE OR REPLACE TABLE mixed AS
WITH claims AS (
    SELECT
        s.country_iso AS claimant, s.country_iso, s.tile_id, p.empty,
        p.population * s.population + p.area * s.area + p.urban * s.urban
            + p.urban_people * s.urban_people + p.roads * s.roads AS mass,
        run.K AS units, 100 * run.K AS total
    FROM layer_shares AS s
    JOIN country_percents AS p USING (country_iso)
    CROSS JOIN run
)
SELECT country_iso, tile_id, empty, mass, remainder, share AS weight
FROM largest_remainder('claims');
