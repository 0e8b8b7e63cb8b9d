"""Evidence for reviewers: a bundle that says what a run did, and how anybody can check it."""
