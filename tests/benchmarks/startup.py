"""What `import qstate_nb` and `%load_ext qstate_nb` cost, beside what a notebook pays for IPython anyway.

    python tests/benchmarks/startup.py

Each row is the median of several new processes, in milliseconds and as a ratio to ``import IPython``.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

RUNS = 9
TIMER = "import time; start = time.perf_counter()\n{}\nprint((time.perf_counter() - start) * 1000)"
SHELL = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
"""
ROWS = {
    "import IPython": ("", "import IPython"),
    "import qstate_nb": ("", "import qstate_nb"),
    "%load_ext qstate_nb": (SHELL, "shell.run_line_magic('load_ext', 'qstate_nb')"),
    "import ipywidgets": (SHELL, "import ipywidgets"),
    "the first panel": (
        f"{SHELL}shell.run_line_magic('load_ext', 'qstate_nb')",
        "import qstate_nb; qstate_nb.panel(qstate_nb.InlineApp())",
    ),
}


def measure(setup: str, code: str) -> float:
    """The median time of *code* in a new process, in milliseconds."""
    program = f"{setup}\n{TIMER.format(code)}"
    runs = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        for _ in range(RUNS)
    ]
    return statistics.median(float(run.stdout.split()[-1]) for run in runs)


def main() -> None:
    """Measure and print all rows."""
    times = {name: measure(*row) for name, row in ROWS.items()}
    base = times["import IPython"]
    for name, time in times.items():
        print(f"{name:24}{time:8.1f} ms{time / base:8.2f}")


if __name__ == "__main__":
    main()
