"""`python -m embedded` with the stand-ins in the place of simulator and service; servers, locks, signals are real."""

import os
import sys
from pathlib import Path

from embedded.__main__ import main
from embedded.product import Programs

STANDIN = str(Path(__file__).with_name("standin.py"))

if __name__ == "__main__":
    programs = Programs(migrate=(STANDIN, "migrate"), simulator=(STANDIN, "simulator"), service=(STANDIN, "service"))
    sys.exit(main(dict(os.environ), programs=programs))
