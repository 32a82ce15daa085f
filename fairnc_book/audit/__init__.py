"""Reports for other people's models: the commands ``audit`` and ``page``, and what their pages show."""
