"""The event log: the only code that knows DuckDB, one half writing, one half reading."""
