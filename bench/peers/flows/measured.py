"""What a conversion takes in this process. Python's start and imports are over before it begins."""

import json
import time


def measure(convert):
    """Runs it once, and prints seconds of CPU (of all threads) and the most memory that this process has held, in KiB."""
    before = time.process_time()
    convert()
    cpu = time.process_time() - before
    print(json.dumps({"cpu": cpu, "memory": peak_memory()}))


def peak_memory():
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1])
