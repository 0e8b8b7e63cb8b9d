"""The HTML report: one self-contained file that shows where outlets were placed."""
