"""Command lines that tests start as processes of their own."""

import sys
from pathlib import Path

import yaml


def train(file: Path, options: dict) -> list[str]:
    """``fairnc train`` with these options, which are written to ``file``; rows come as JSON."""
    file.write_text(yaml.safe_dump(options))
    module = ["-m", "fairnc_utils.runs.cli"]
    return [sys.executable, *module, "train", "--config", str(file), "--json"]
