-- code: {code}
-- scope: {scope}
-- proves: every country of {table} is in {known}
SELECT {select}
FROM {table}
WHERE {column} NOT IN (SELECT DISTINCT country_iso FROM {known})
GROUP BY 1
ORDER BY 1
