-- makes: drawn_in_cell
-- needs: s6_site_jitter
-- The sites that the log in_cell_jitter has to hold: all, where the policy has no centres.
CREATE OR REPLACE VIEW drawn_in_cell AS
SELECT merchant_id, legal_country_iso, site_order FROM s6_site_jitter;
