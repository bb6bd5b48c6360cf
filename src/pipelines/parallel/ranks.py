"""One process among those that make a clip together: with whom it computes what, what it sends.

`sent` counts the bytes of what is computed; not counted are the flag that stops all of them, one
byte a step, and the finished pixels on their way to the first process.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as distributed
from torch import Tensor

from src.core.errors import CancelledError
from src.core.plan import Division
from src.core.progress import CancelToken

LIMIT_S = 600.0
"""Seconds that a process waits for the others: loading, compiling and encoding part them."""
TEAMS: dict[str, Team] = {}
"""By key: an operator of torch takes a word, and no process group."""


@torch.library.custom_op("newsreel::exchange", mutates_args=())
def exchange(rows: Tensor, give: Sequence[int], take: Sequence[int], team: str) -> Tensor:
    """`Team.exchange` as an operator that compilers keep whole."""
    return TEAMS[team].send_and_receive(rows, give, take)


@exchange.register_fake
def _(rows: Tensor, give: Sequence[int], take: Sequence[int], team: str) -> Tensor:
    return rows.new_empty((sum(take), *rows.shape[1:]))


@dataclass
class Team:
    """Processes that exchange tensors. index: of this one among them; size: how many they are."""

    ranks: Ranks
    key: str
    index: int
    size: int
    group: Any

    def exchange(self, rows: Tensor, give: Sequence[int], take: Sequence[int]) -> Tensor:
        """All to all: `give[i]` of the rows, in order, go to process i, `take[i]` come from it.

        rows: (sum of give, ...). Returns (sum of take, ...), in the order of the processes.
        """
        return exchange(rows, list(give), list(take), self.key)

    def send_and_receive(self, rows: Tensor, give: Sequence[int], take: Sequence[int]) -> Tensor:
        made = rows.new_empty((sum(take), *rows.shape[1:]))
        distributed.all_to_all_single(
            made, rows.contiguous(), list(take), list(give), group=self.group
        )
        self.ranks.sent += (sum(give) - give[self.index]) * rows[0].nbytes
        return made

    def gather(self, rows: Tensor, counts: Sequence[int]) -> Tensor:
        """Everyone's rows for everyone: (counts[index], ...) to (sum of counts, ...)."""
        own = counts[self.index]
        return self.exchange(torch.cat([rows] * self.size), [own] * self.size, counts)


@dataclass
class Ranks:
    """This process and its group. sent: bytes that it has sent to others; steps: of them, those of
    each step of the clip that is made. limit: that every exchange waits for the others.
    """

    rank: int
    count: int
    limit: timedelta
    sent: int = 0
    steps: list[int] = field(default_factory=list)
    alone: Team = field(init=False)
    _groups: dict[tuple[int, ...], Any] = field(default_factory=dict)
    _teams: dict[bool, Team] = field(default_factory=dict)
    _hops: list[Any] = field(default_factory=list)
    _across: Team | None = None
    _division: Division | None = None

    def __post_init__(self) -> None:
        self.alone = Team(self, "alone", 0, 1, None)

    def lay_out(self, division: Division) -> None:
        """Form the teams of a plan. Every process calls it with the same division, before a clip's
        first step.
        """
        self.steps = []
        if division == self._division:
            return
        size, width = division.sequence, division.branches
        guided = [tuple(range(size * branch, size * (branch + 1))) for branch in range(width)]
        everyone = tuple(range(self.count))
        self._teams[True] = self._team(guided)
        whole = division.unguided == self.count
        self._teams[False] = self._team([everyone]) if whole else self._teams[True]
        pairs = [(index, size + index) for index in range(size)] if width == 2 else []
        self._across = self._team(pairs) if pairs else None
        if not self._hops:
            ring = [[rank, (rank + 1) % self.count] for rank in range(self.count)]
            self._hops = [distributed.new_group(hop, timeout=self.limit) for hop in ring]
        self._division = division

    def team(self, guided: bool) -> Team:
        """With whom this process shares the tokens of such a step."""
        return self._teams[guided]

    def across(self, guided: bool) -> Team | None:
        """With whom it exchanges branches of guidance, its own being `index`; None where it
        computes both.
        """
        return self._across if guided else None

    def hop(self, rank: int) -> Any:
        """The group that goes from process `rank` to the next."""
        return self._hops[rank]

    def _team(self, all_members: Sequence[tuple[int, ...]]) -> Team:
        """The one that has this process; torch wants each process to form all of them."""
        groups = {members: self._group(members) for members in all_members}
        members = next(each for each in groups if self.rank in each)
        if len(members) == 1:
            return self.alone
        key = "-".join(map(str, members))
        team = Team(self, key, members.index(self.rank), len(members), groups[members])
        TEAMS[key] = team
        return team

    def _group(self, members: tuple[int, ...]) -> Any:
        if len(members) > 1 and members not in self._groups:
            self._groups[members] = distributed.new_group(list(members), timeout=self.limit)
        return self._groups.get(members)

    def shared(self, cancel: CancelToken) -> CancelToken:
        """A token of which all processes see the first one's wish, at the same check."""
        return SharedToken(cancel if self.rank == 0 else CancelToken())

    def abort(self) -> None:
        """Give up what is under way between GPUs, so that a process that waits for it goes on."""
        distributed.distributed_c10d._abort_process_group()

    def leave(self) -> None:
        """Leave the group."""
        TEAMS.clear()
        self._groups.clear()
        self._hops.clear()
        self._teams.clear()
        if distributed.is_initialized():
            distributed.destroy_process_group()
        else:  # torch (2.13) counted a group that did not form, and names the next by that count
            distributed.distributed_c10d._world.group_count = 0


class SharedToken(CancelToken):
    """The first process's wish to stop, asked for by all at the same place."""

    def __init__(self, own: CancelToken) -> None:
        super().__init__()
        self.own = own

    def check(self) -> None:
        """Raise CancelledError in every process, or in none. Each must call it as often."""
        wish = torch.tensor([self.own.cancelled], dtype=torch.uint8)
        distributed.broadcast(wish, 0)
        if wish.item():
            raise CancelledError("cancelled; nothing was written")


def join_group(rank: int, count: int, device: str, place: str, limit_s: float = LIMIT_S) -> Ranks:
    """Form the group: NCCL between GPUs, process i on device i; Gloo on a CPU, and for flags.

    place: a file that all of them can write and that was not there before. limit_s: that a process
    waits for the others, here and in every exchange. Raises RuntimeError where they do not come.
    """
    if device == "cuda":
        torch.cuda.set_device(rank)
    limit = timedelta(seconds=limit_s)
    store = distributed.FileStore(place, count)
    store.set_timeout(limit)
    backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
    os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback())
    ranks = Ranks(rank, count, limit)
    try:
        distributed.init_process_group(
            backend, store=store, rank=rank, world_size=count, timeout=limit
        )
    except Exception:
        ranks.leave()
        raise
    return ranks


def loopback() -> str:
    """The network interface of this machine alone: nothing listens where others can reach it."""
    names = [name for _, name in socket.if_nameindex()]
    return next(name for name in ("lo", "lo0", *names) if name in names)
