"""Checks of S5."""
