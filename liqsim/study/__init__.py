"""Several runs of one scenario side by side: joins the write side's runs with what replay reads."""
