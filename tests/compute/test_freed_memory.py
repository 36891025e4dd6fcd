"""What a batch frees stays in the process, where the allocator is glibc's."""

import os
import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys, torch
from skbert.compute import keep_freed_memory

def new_pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        # Too small for huge pages to matter, too large for the thresholds that glibc starts with.
        tensors = [torch.ones(2**19) for _ in range(4)]
        del tensors
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

torch.ones(2**19)
if sys.argv[1] == "keep":
    keep_freed_memory(torch.device("cpu"))
    new_pages()
print(new_pages())
"""


def pages(what):
    # Variables that set the thresholds of malloc switch off what it learns.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MALLOC_", "GLIBC_"))}
    run = subprocess.run([sys.executable, "-c", SCRIPT, what], env=environment, capture_output=True, check=True)
    return int(run.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_keep_freed_memory__the_same_again__no_new_pages():
    assert pages("keep") < 200 < pages("nothing")


FREE_BUT_KEPT = """
import resource, torch
from skbert.compute import give_back_freed_memory, keep_freed_memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20

keep_freed_memory(torch.device("cpu"))
# The last one stays, so that the others do not lie at the end of the memory of this process.
*tensors, last = [torch.ones(2**18) for _ in range(101)]
del tensors
before = resident()
give_back_freed_memory()
print(before - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_give_back_freed_memory__free_but_kept__goes_back():
    run = subprocess.run([sys.executable, "-c", FREE_BUT_KEPT], capture_output=True, check=True)
    # 100 MiB were freed.
    assert float(run.stdout) > 80


NO_ROOM = """
import resource, torch
from skbert.compute import keep_freed_memory

with open("/proc/self/statm") as file:
    size = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 2**24, size + 2**24))
keep_freed_memory(torch.device("cpu"))
print("done")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits address space")
def test_keep_freed_memory__no_room_for_the_block__no_error():
    run = subprocess.run([sys.executable, "-c", NO_ROOM], capture_output=True, check=True, text=True)
    assert run.stdout == "done\n"
