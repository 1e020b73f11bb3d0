"""`python -m embedded` with stand-ins for simulator and service; servers, locks and signals are real."""

import os
import sys
from pathlib import Path

from embedded.__main__ import main
from embedded.product import Programs

STANDIN = str(Path(__file__).with_name("standin.py"))

if __name__ == "__main__":
    programs = Programs(migrate=(STANDIN, "migrate"), simulator=(STANDIN, "simulator"), service=(STANDIN, "service"))
    sys.exit(main(dict(os.environ), programs=programs))
