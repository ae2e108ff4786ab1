"""One module per method: its define-by-run search space and the papers' own settings; imports no torch."""
