"""The book machine: reads result rows, makes tables, figures, claims and the site. It trains nothing."""

from fairnc_utils._extras import needs

needs("book")
