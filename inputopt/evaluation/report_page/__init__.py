"""The report as one self-contained HTML page, without scripts and without anything to fetch."""
