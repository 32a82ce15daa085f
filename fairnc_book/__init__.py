"""The book machine: reads result rows, makes tables, figures, claims and the site. It trains nothing."""
