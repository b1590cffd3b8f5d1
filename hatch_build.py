"""Compiles what is run for every line where there is a C compiler; pfwatch does the same without it, slower.

Read by hatchling alone: `pip install` and every other build of pfwatch call it.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = (
    Path("pfwatch/parsing/compiled.pyx"),
    Path("pfwatch/sources/journal/native.pyx"),
    Path("pfwatch/cli/composing.pyx"),
    # These two are Python; the .pxd beside each says what C makes of it.
    Path("pfwatch/parsing/hits.py"),
    Path("pfwatch/detection/rows.py"),
)


class CustomBuildHook(BuildHookInterface[Any]):
    """PFWATCH_PURE=1 builds without; PFWATCH_COMPILED=1 fails where it cannot be built."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - the interface's
        """Called before the files of a wheel, or of an editable installation, are gathered."""
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        every = [Path(self.root, source).with_suffix(suffix) for source in SOURCES]
        for built in every:
            built.unlink(missing_ok=True)  # an old one would be taken for this source
        if os.environ.get("PFWATCH_PURE", "0") != "0":
            return
        try:
            with tempfile.TemporaryDirectory() as scratch:
                _compile(Path(self.root), scratch)
                for source, built in zip(SOURCES, every, strict=True):
                    shutil.move(Path(scratch, source).with_suffix(suffix), built)
        except Exception as error:
            if os.environ.get("PFWATCH_COMPILED", "0") != "0":
                raise
            self.app.display_warning(f"pfwatch reads logs by Python alone, at less than half the speed: {error}")
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["artifacts"] += [str(built.relative_to(self.root)) for built in every]


_WRITE = "from pfwatch.parsing.in_c import header_file, patterns; print(header_file(patterns()), end='')"


def _compile(root: Path, scratch: str) -> None:
    """Compile every module; what is built lies in `scratch` as its source does in `root`."""
    command = [sys.executable, "-c", _WRITE]  # apart: whoever builds may have imported another pfwatch
    written = subprocess.run(command, cwd=root, check=False, capture_output=True, text=True)  # noqa: S603 - our own
    if written.returncode:
        raise RuntimeError(f"the patterns cannot be written as C: {written.stderr.strip().rpartition(chr(10))[2]}")
    Path(scratch, "patterns.h").write_text(written.stdout, encoding="ascii")
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext

    options = ["-O3", "-fno-plt", "-fvisibility=hidden", "-g0"]
    extensions = [
        Extension(".".join(source.with_suffix("").parts), [str(root / source)], [scratch], extra_compile_args=options)
        for source in SOURCES
    ]
    found = cythonize(extensions, build_dir=scratch, include_path=[str(root)], quiet=True, language_level=3)
    build = build_ext(Distribution({"ext_modules": found}))
    build.ensure_finalized()
    build.build_lib = build.build_temp = scratch
    build.run()
