"""The largest number of bytes that all tensors had at the same time, as torch's profiler counts them."""

from torch.profiler import ProfilerActivity, profile


def peak_bytes(run):
    """Call ``run()`` and return the peak of the tensor memory that it allocates on the CPU.

    This does not depend on what else the machine does, as the memory of the process would: freed memory that the
    process keeps does not count. Nor does what the libraries of matrix products allocate for themselves.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    events = profiler.profiler.kineto_results.events()
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    peak = total = 0
    for _, change in changes:
        total += change
        peak = max(peak, total)
    return peak
