"""Storage: data roots, readers, the publisher, receipts and locks."""
