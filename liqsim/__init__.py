"""liqsim: an event-sourced simulator of liquidation cascades (the side that decides and writes)."""
