"""`accelerate launch` for workers: where one fails it ends with exit code 1 and no traceback of the launcher's own.

A worker says itself what failed. One that was killed cannot, so that is said here.
"""

from __future__ import annotations

import logging
import signal
import sys


def main() -> int:
    from accelerate.commands.launch import main as launch
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    try:
        launch()
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode < 0 and -failure.exitcode != signal.SIGTERM:
            name = signal.Signals(-failure.exitcode).name
            print(f"process {rank} of the worker was ended by {name}, so the others were too", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
