"""Builds the compiled reader of plain lines where there is a C compiler; pfwatch does the same without it, slower.

Read by hatchling alone: `pip install` and every other build of pfwatch call it.
"""

import os
import shutil
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = Path("pfwatch/parsing/compiled.pyx")


class CustomBuildHook(BuildHookInterface[Any]):
    """PFWATCH_PURE=1 builds without; PFWATCH_COMPILED=1 fails where it cannot be built."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - the interface's
        """Called before the files of a wheel, or of an editable installation, are gathered."""
        built = Path(self.root, SOURCE).with_suffix(sysconfig.get_config_var("EXT_SUFFIX"))
        built.unlink(missing_ok=True)  # an old one would be taken for this source
        if os.environ.get("PFWATCH_PURE", "0") != "0":
            return
        try:
            with tempfile.TemporaryDirectory() as scratch:
                shutil.move(_compile(Path(self.root, SOURCE), scratch), built)
        except Exception as error:
            if os.environ.get("PFWATCH_COMPILED", "0") != "0":
                raise
            self.app.display_warning(f"pfwatch reads logs by Python alone, about half as fast: {error}")
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["artifacts"].append(str(built.relative_to(self.root)))


def _compile(source: Path, scratch: str) -> str:
    """Compile one module; gives the path of what was built."""
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext

    name = ".".join(SOURCE.with_suffix("").parts)
    extension = Extension(name, [str(source)], extra_compile_args=["-O3", "-fno-plt", "-fvisibility=hidden", "-g0"])
    command = build_ext(Distribution({"ext_modules": cythonize([extension], build_dir=scratch, quiet=True)}))
    command.ensure_finalized()
    command.build_lib = command.build_temp = scratch
    command.run()
    return command.get_ext_fullpath(name)
