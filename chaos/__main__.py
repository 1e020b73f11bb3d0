"""``python -m chaos``, see ``chaos.run``; with ``outages`` or ``lost-answers``, see the module of that name."""

import sys

from chaos import lost_answers, outages, run


def main(arguments: list[str]) -> int:
    """The exit code of what is asked for: the random faults without an argument. 2 for an argument that is none."""
    others = {"outages": outages.main, "lost-answers": lost_answers.main}
    if not arguments:
        return run.main()
    if arguments[0] in others:
        return others[arguments[0]](arguments[1:])
    is_help = arguments[0] in {"-h", "--help"}
    print(
        "make chaos: replicas under random faults; CHAOS_MINUTES, CHAOS_SEED and REPLICAS set how long and how many\n"
        f"make chaos ARGS={' or ARGS='.join(others)}: other runs; with --help after the name, what they take",
        file=sys.stdout if is_help else sys.stderr,
    )
    return 0 if is_help else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
