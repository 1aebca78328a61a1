"""The command line: it joins `liqsim.api`, which writes logs, and `replay`, which reads them."""

from liqsim.cli.main import app

__all__ = ["app"]
