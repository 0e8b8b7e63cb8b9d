-- makes: uncatalogued_sites
-- needs: outlet_catalogue, s7_site_synthesis
-- Sites that are no outlet of the catalogue.
CREATE OR REPLACE TABLE uncatalogued_sites AS
SELECT y.merchant_id, y.legal_country_iso, y.site_order
FROM s7_site_synthesis AS y
ANTI JOIN outlet_catalogue AS o
    ON o.merchant_id = y.merchant_id
    AND o.legal_country_iso = y.legal_country_iso
    AND o.site_order = y.site_order;
