"""SimPy processes: each decides when, asks a rule what, and appends."""
