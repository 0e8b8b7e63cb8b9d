"""Checks of S1."""
