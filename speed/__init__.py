"""Speed of the package against plain or released formulations of the same, side by side in one run."""
