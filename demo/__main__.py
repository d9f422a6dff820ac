"""`python -m demo up` and `python -m demo break`: what `make demo` and `make demo-break` call."""

import signal


def _main() -> None:
    # Until the commands take it, Ctrl-C has nothing to end but imports, of which nobody wants a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from demo.commands import main

    main()


if __name__ == "__main__":
    _main()
