"""What outlives the process: one SQLite database, moved forward by one transaction at a time."""
