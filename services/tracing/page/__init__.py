"""The HTML pages: a list with filters, and the waterfall of a trace."""
