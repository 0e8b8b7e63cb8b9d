"""What people take away: the gate before the published sites, files of them, comparisons, logs."""
