"""Checks of S2."""
