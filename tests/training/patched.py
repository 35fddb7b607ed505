"""A second environment in a second, without an index: this one's packages, and a scikit-learn that was patched."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path


def patched_environment(place: Path) -> Path:
    """An environment of its own with all packages of this one, in which scikit-learn alone was built otherwise."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    (site,) = place.glob("lib/python*/site-packages")
    own = Path(str(distribution("scikit-learn").locate_file("")))
    # Links to the same files, but for one: a copy of it all would take seconds.
    for name in ("sklearn", "scikit_learn.libs"):
        if (own / name).is_dir():
            shutil.copytree(
                own / name, site / name, copy_function=os.link, ignore=shutil.ignore_patterns("__pycache__")
            )
    (info,) = own.glob("scikit_learn-*.dist-info")
    shutil.copytree(info, site / info.name)
    metadata = site / info.name / "METADATA"
    version = distribution("scikit-learn").version
    metadata.write_text(metadata.read_text().replace(f"Version: {version}\n", f"Version: {version}+patched\n"))
    grower = site / "sklearn" / "ensemble" / "_hist_gradient_boosting" / "gradient_boosting.py"
    text = grower.read_text()
    assert text.count("shrinkage=self.learning_rate,") == 1
    grower.unlink()
    grower.write_text(text.replace("shrinkage=self.learning_rate,", "shrinkage=self.learning_rate * 0.9,"))
    (site / "zz_the_rest.pth").write_text(f"{own}\n")
    return place
