-- A longitude within one turn of [-180, 180), by one rounding at most.
CREATE OR REPLACE MACRO wrapped(lon) AS
    CASE WHEN lon >= 180 THEN lon - 360 WHEN lon < -180 THEN lon + 360 ELSE lon END
