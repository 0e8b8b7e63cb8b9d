"""Checks of S0."""
