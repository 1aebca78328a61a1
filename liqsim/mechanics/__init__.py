"""Pure rules: what happens, never when. No clock, no draw that is not keyed, no log."""
