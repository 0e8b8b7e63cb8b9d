"""Reads outlet lists, checks them row by row, and publishes them as a bundle of 1A."""
