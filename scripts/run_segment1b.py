"""Do the runs of a file: `segment1b nightly` under the name that schedulers know."""

from __future__ import annotations

import sys

from segment1b.__main__ import main

if __name__ == "__main__":
    sys.argv.insert(1, "nightly")
    main()
