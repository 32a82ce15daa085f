"""What the site is made with: Sphinx extensions, still pictures, the status page."""
