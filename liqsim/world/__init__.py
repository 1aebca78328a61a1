"""The state of a run: ledger, buckets, markets; `evolve` is its only writer."""
