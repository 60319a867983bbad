"""Who runs the cells: threads here, each waiting for a confined process, or a Dask cluster.

Everything above needs only the interface of ``concurrent.futures.Executor``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

from ladder.errors import WorkError


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def local(workers: int) -> Iterator[tuple[Executor, int]]:
    with ThreadPoolExecutor(workers) as pool:
        yield pool, workers


@contextlib.contextmanager
def dask(
    address: str, workers: int, gpu: bool = False, patience: str = "15s"
) -> Iterator[tuple[Executor, int]]:
    """The cluster at ``address``; "local" starts one of ``workers`` processes for this command.

    Workers need this version of the workbook installed. With ``gpu``, only workers that were
    started with ``--resources "GPU=1"`` take jobs.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise WorkError("--dask needs the package `distributed`: pip install 'llm-ladder[cohort]'"
                        ) from None
    with contextlib.ExitStack() as stack:
        target = address
        if address == "local":
            target = stack.enter_context(LocalCluster(
                n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None,
                resources={"GPU": 1} if gpu else None))
        try:
            client = stack.enter_context(Client(target, timeout=patience, set_as_default=False))
        except OSError as error:
            raise WorkError(f"no Dask scheduler answers at {address} ({error}); start one with "
                            "`dask scheduler`, workers with `dask worker ADDRESS`, or use --dask local"
                            ) from None
        threads = sum(client.nthreads().values())
        if not threads:
            raise WorkError(f"the scheduler at {address} has no workers; start some with "
                            f"`dask worker {address}`")
        more = {"resources": {"GPU": 1}} if gpu else {}
        with client.get_executor(pure=False, retries=3, **more) as executor:
            yield executor, threads
