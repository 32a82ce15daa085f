"""``fairnc``, also as ``python -m fairnc_utils``: the command line, or the command that installs
what it needs.
"""

import sys

from fairnc_utils._extras import MissingExtra


def main() -> int:
    """Entry point of the console script: the exit status of the command, 2 on bad input."""
    try:
        from fairnc_utils.runs import cli
    except MissingExtra as error:
        print(f"fairnc: {error}", file=sys.stderr)
        return 2
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
