"""The one SQLite file, and the only SQL."""
