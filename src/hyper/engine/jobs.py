"""Owns jobs: work on a container's files in its guest, as protocol/agent.toml describes it.

What the bytes mean is in files.py; which VM the job runs in, in visits.py.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from signal import SIGKILL

from hyper.agent import messages as guest
from hyper.agent.streams import STDERR, STDIN, STDOUT, InputStream, OutputStream
from hyper.agent.trust import guest_error
from hyper.core.errors import Failure, GuestError, HyperError, InvalidArgument, Unavailable
from hyper.engine.machine import Machine

START_S = 120.0
"""A container of many layers on a busy host, its volumes populated for the first time."""
END_S = 30.0

Write = Callable[[bytes], Awaitable[None]]


class Job:
    """A job that is ready; `output` is what it gives, in pieces, to be taken once."""

    def __init__(
        self, machine: Machine, container_id: str, process_id: int, takes_input: bool
    ) -> None:
        agent = machine.agent
        self.container_id = container_id
        self._stdout: OutputStream = agent.stream(process_id, STDOUT)
        self._stderr: OutputStream = agent.stream(process_id, STDERR)
        self._stdin: InputStream | None = agent.stream(process_id, STDIN) if takes_input else None
        self._end: asyncio.Future[guest.ProcessExited] = asyncio.get_running_loop().create_future()

    def ended(self, event: guest.ProcessExited) -> None:
        """Take note of its end; all of its output came before."""
        if not self._end.done():
            self._end.set_result(event)

    def lost(self) -> None:
        """Take note that its VM is gone."""
        if not self._end.done():
            self._end.set_exception(Unavailable("the VM that worked on the files is gone"))
            self._end.exception()  # it may be that nobody asks

    async def output(self) -> AsyncIterator[bytes]:
        """Yield what it gives; what is wrong with it is raised at its end, as by `finished`."""
        async for offset, data in self._stdout:
            yield data
            self._stdout.ack(offset + len(data))
        await self.finished()

    async def finished(self) -> None:
        """Return when it has done its work.

        Raises GuestError with what failed, Unavailable when its VM is gone.
        """
        self._stdout.discard()
        report = bytearray()
        async for offset, data in self._stderr:
            report += data
            self._stderr.ack(offset + len(data))
        ended = await asyncio.shield(self._end)
        if ended.exit_code == ended.signal == 0:
            return
        try:
            error = guest.decode(guest.Error.TYPE, bytes(report))
        except guest.ProtocolError:
            error = None
        if isinstance(error, guest.Error):
            raise guest_error(error)
        how = f"signal {ended.signal}" if ended.signal else f"status {ended.exit_code}"
        raise Failure(f"the work on the container's files ended with {how}")

    async def feed(self, source: Callable[[Write], Awaitable[None]]) -> None:
        """Have `source` write its input, and return when it has done its work.

        Raises what `source` raises, and as `finished`: whichever failed first.
        """
        failure: HyperError | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                feeding = tasks.create_task(self._fill(source), name="job-input")
                try:
                    await self.finished()
                except HyperError as err:
                    failure = err
                feeding.cancel()
        except* HyperError as group:
            raise _first(group) from None
        if failure is not None:
            raise failure

    async def _fill(self, source: Callable[[Write], Awaitable[None]]) -> None:
        assert self._stdin is not None, "the job takes no input"
        try:
            await source(self._stdin.write)
            await self._stdin.close()
        except Unavailable:
            return  # it has ended: its own report says why

    async def gone(self) -> None:
        """Return when nothing of it is left."""
        await asyncio.wait([self._end])

    def drop(self) -> None:
        """Throw away what it still says."""
        self._stdout.discard()
        self._stderr.discard()

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return not self._end.done()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@asynccontextmanager
async def job(
    machine: Machine,
    container_id: str,
    request: Callable[[int], guest.Message],
    *,
    takes_input: bool = False,
) -> AsyncIterator[Job]:
    """Run a job; `request` makes its message for a process id. It is ended when the block is left.

    Raises GuestError when the guest refuses it.
    """
    process_id = machine.new_process_id()
    started = Job(machine, container_id, process_id, takes_input)
    machine.jobs[process_id] = started
    try:
        await machine.agent.request(request(process_id), timeout_s=START_S)
    except (GuestError, InvalidArgument, Unavailable):
        machine.jobs.pop(process_id, None)
        machine.agent.forget(process_id)
        raise
    except BaseException:  # nobody waits any more, but the guest may have begun
        await _end(machine, process_id, started)
        raise
    try:
        yield started
    finally:
        if started.running:
            await _end(machine, process_id, started)


async def settled(machine: Machine, container_id: str, limit_s: float) -> None:
    """Wait until a container's jobs have ended, for a while: its VM, or it, is about to go."""
    ends = [job.gone() for job in machine.jobs.values() if job.container_id == container_id]
    try:
        async with asyncio.timeout(limit_s):
            for end in ends:
                await end
    except TimeoutError:
        return
    finally:
        for end in ends:
            end.close()


async def _end(machine: Machine, process_id: int, started: Job) -> None:
    """Kill a job that somebody no longer wants, and wait for its end; not for a hung guest's."""
    started.drop()
    try:
        async with asyncio.timeout(END_S):
            await machine.agent.request(guest.ProcessSignal(process_id, "", SIGKILL))
            await started.gone()
    except (HyperError, TimeoutError):
        return  # it ended by itself meanwhile, or its VM is past caring
