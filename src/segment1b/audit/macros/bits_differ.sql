-- Whether two floats differ in any bit; zeros are equal in SQL whatever their signs.
CREATE OR REPLACE MACRO bits_differ(found, expected) AS
    found IS DISTINCT FROM expected OR signbit(found) <> signbit(expected)
