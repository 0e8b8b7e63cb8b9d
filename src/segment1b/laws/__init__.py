"""Laws: pure functions from arrays to arrays, on numpy and the standard library alone."""
