"""A worker that does what no worker should, by the name of the run. Started by `test_many_runs`.

It speaks the lines of JSON by itself, and so starts at once.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any


def main() -> None:
    with open(int(sys.argv[1]), "wb") as results:
        for line in sys.stdin.buffer:
            run = json.loads(line)["run"]
            answer: dict[str, Any] = {
                "seed": run["seed"] or 0,
                "checks": {os.environ["PYTHONHASHSEED"]: os.getpid()},
            }
            if "crash b" in run["text"]:
                answer["violations"] = [{"check": "always_odd", "time": 1.5, "text": "it crashes"}]
                answer["story"] = {"text": "the story", "page": "the page"}
            match run["name"]:
                case "dies":
                    print("Problem: of my own", file=sys.stderr)
                    os._exit(3)
                case "hangs":
                    threading.Event().wait()
                case "babbles":
                    answer = {"seed": "no summary"}
                case _:
                    print("this goes to standard output", flush=True)
            results.write(json.dumps(answer).encode() + b"\n")
            results.flush()


if __name__ == "__main__":
    main()
