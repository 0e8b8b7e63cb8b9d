"""Checks of the weights of trades, which S2 publishes."""
