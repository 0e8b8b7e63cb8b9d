-- makes: counted
-- needs: outlet_catalogue, parameter_policy_1B
-- The outlets of every pair, counted whatever the order of the rows.
CREATE OR REPLACE TABLE counted AS
SELECT
    merchant_id,
    legal_country_iso,
    count(*)::HUGEINT AS n_sites,
    min(site_order) AS first_order,
    max(site_order) AS last_order,
    count(site_order) AS orders,
    count(*) FILTER (
        WHERE site_id IS DISTINCT FROM lpad(site_order::VARCHAR, 6, '0') OR site_order > 999999
    ) AS bad_site_ids,
    count(*) FILTER (WHERE final_country_outlet_count IS NULL) AS undeclared,
    min(final_country_outlet_count) AS least_declared,
    max(final_country_outlet_count) AS most_declared,
    legal_country_iso IN (SELECT country_iso FROM excluded_countries) AS excluded
FROM outlet_catalogue
GROUP BY merchant_id, legal_country_iso;
