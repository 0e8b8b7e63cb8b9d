-- code: E707_POINT_OUTSIDE_PIXEL
-- scope: S
-- proves: every point lies in its tile, edges included, and west of 180
SELECT * FROM outside_sites ORDER BY merchant_id, legal_country_iso, site_order
