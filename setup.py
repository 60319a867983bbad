"""The part of the build that pyproject.toml cannot say: content folders become parts of ``ladder``."""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
CONTENT = ["solutions", "graders", "kernels"]


class BuildWithCurriculum(build_py):
    """Put curriculum.yaml, the lock file, stages/ and datasets/ into the wheel, beside the tool."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "ladder"
        for name in ("curriculum.yaml", "requirements.lock"):
            shutil.copy(ROOT / name, target / name)
        for folder in ("stages", "datasets"):
            shutil.copytree(ROOT / folder, target / folder, dirs_exist_ok=True,
                            ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))


packages = find_packages(include=["ladder", "ladder.*"])
for folder in CONTENT:
    packages += [f"ladder.{folder}"]
    packages += [f"ladder.{folder}.{name}" for name in find_packages(folder)]

setup(
    packages=packages,
    package_dir={f"ladder.{folder}": folder for folder in CONTENT},
    package_data={"ladder": ["*.html", "*.css", "*.js", "py.typed", "templates/*", "jupyter/*/*"]},
    cmdclass={"build_py": BuildWithCurriculum},
)
