-- code: E302_FK_COUNTRY
-- scope: P
-- proves: every country of an outlet or a requirement is an upper-case code of the ISO table
SELECT merchant_id, legal_country_iso, string_agg(source, ', ' ORDER BY source) AS found_in
FROM (
    SELECT DISTINCT merchant_id, legal_country_iso, 's3_requirements' AS source
    FROM s3_requirements
    UNION ALL
    SELECT DISTINCT merchant_id, legal_country_iso, 'outlet_catalogue' FROM outlet_catalogue
)
WHERE legal_country_iso IS NULL
   OR legal_country_iso NOT IN (SELECT country_iso FROM iso3166_canonical_2024)
GROUP BY merchant_id, legal_country_iso
ORDER BY merchant_id, legal_country_iso
