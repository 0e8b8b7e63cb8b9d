"""Checks of S9."""
