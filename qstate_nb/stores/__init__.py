"""Where State lives: in memory, in an SQLite file, in Redis."""
