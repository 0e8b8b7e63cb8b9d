"""Evidence bundles for reviewers: reports, checks, a sample and a determinism proof."""
