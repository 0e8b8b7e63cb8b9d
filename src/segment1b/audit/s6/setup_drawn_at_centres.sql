-- makes: at_centres, drawn_in_cell
-- needs: s6_site_jitter, rng_event_centre_jitter
-- The sites at a centre, with their tile, and the others: those the log in_cell_jitter has to hold.
CREATE OR REPLACE VIEW at_centres AS
SELECT e.merchant_id, e.legal_country_iso, e.site_order, j.tile_id, e.blocks, e.centre
FROM rng_event_centre_jitter AS e
JOIN s6_site_jitter AS j USING (merchant_id, legal_country_iso, site_order)
WHERE e.centre > 0;

CREATE OR REPLACE VIEW drawn_in_cell AS
SELECT merchant_id, legal_country_iso, site_order
FROM s6_site_jitter
ANTI JOIN (SELECT * FROM rng_event_centre_jitter WHERE centre > 0) AS e
    USING (merchant_id, legal_country_iso, site_order);
