"""A folder for the files that scenarios of tests name; each is called by what it holds."""

import atexit
import shutil
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Final

FILES: Final = Path(tempfile.mkdtemp(prefix="liqsim_files_"))
atexit.register(shutil.rmtree, FILES, ignore_errors=True)


def data_file(data: str | bytes, suffix: str = ".csv") -> str:
    """Return the name, in `FILES`, of a file that holds *data*."""
    content = data.encode() if isinstance(data, str) else data
    name = f"{sha256(content).hexdigest()[:16]}{suffix}"
    (FILES / name).write_bytes(content)
    return name
