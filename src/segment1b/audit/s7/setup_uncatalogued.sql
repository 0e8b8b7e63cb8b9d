-- makes: uncatalogued_sites
-- needs: outlet_catalogue, s7_site_synthesis
-- settled: outlet_catalogue and s7_site_synthesis
-- Sites that are no outlet of the catalogue.
CREATE OR REPLACE TABLE uncatalogued_sites AS
SELECT merchant_id, legal_country_iso, site_order
FROM s7_site_synthesis
ANTI JOIN outlet_catalogue USING (merchant_id, legal_country_iso, site_order);
