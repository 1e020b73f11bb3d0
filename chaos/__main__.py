"""``python -m chaos``, see ``chaos.run``; with ``outages`` or ``lost-answers``, see the module of that name."""

import sys

from chaos import lost_answers, outages, run

if __name__ == "__main__":
    others = {"outages": outages.main, "lost-answers": lost_answers.main}
    chosen = others.get("".join(sys.argv[1:2]))
    sys.exit(run.main() if chosen is None else chosen(sys.argv[2:]))
