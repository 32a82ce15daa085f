"""The book machine: reads result rows, makes tables, figures, claims and the site. It trains
nothing.
"""

import warnings

from fairnc_utils._extras import needs

needs("book")

# Said by tqdm where other packages ask it for a bar and JupyterLab has no widgets; the bar is drawn
# as text.
warnings.filterwarnings("ignore", "IProgress not found")
