"""The DRIFT_SIMD values that this machine can run, from the CPU flags: ``python -m tests.simd`` prints them.

Used by the Makefile to run the core subset once per instruction set, and by the test that compares their answers.
"""

from __future__ import annotations

from pathlib import Path

NEEDED = {
    "scalar": set[str](),
    "avx2": {"avx2", "fma"},
    "avx512": {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni"},
}


def available() -> list[str]:
    """Values of DRIFT_SIMD, the slowest first."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    flags = next((set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), set[str]())
    return [name for name, needed in NEEDED.items() if needed <= flags]


if __name__ == "__main__":
    print(*available())
