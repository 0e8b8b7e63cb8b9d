"""Where data lies and how it comes to be: data roots, readers, the publisher, receipts, locks."""
