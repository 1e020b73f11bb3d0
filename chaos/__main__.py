"""``python -m chaos``, see ``chaos.run``; ``python -m chaos outages``, see ``chaos.outages``."""

import sys

from chaos import outages, run

if __name__ == "__main__":
    sys.exit(outages.main(sys.argv[2:]) if sys.argv[1:2] == ["outages"] else run.main())
