"""How the command `vmferry-lab` is called, so that what is printed can be pasted."""

import shlex
import shutil
import sys
from pathlib import Path

from vmferry_lab.directories import default_directory

PROGRAM = "vmferry-lab"


def command_line(directory: Path, *words: str) -> str:
    """The command for the lab in a directory, with the program's path unless the shell finds it by itself."""
    program = Path(sys.executable).parent / PROGRAM
    found = shutil.which(PROGRAM) == str(program)
    chosen = [] if directory == default_directory().resolve() else ["--dir", str(directory)]
    return shlex.join([PROGRAM if found else str(program), *chosen, *words])
