"""Checks of S4."""
