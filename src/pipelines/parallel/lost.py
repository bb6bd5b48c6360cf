"""What is said where another process of a group is gone."""

import re

LOST = re.compile(
    r"gloo|nccl|connection (closed|reset|refused)|broken pipe|wait timeout", re.IGNORECASE
)
"""What the libraries of a process group say where another process does not answer any more."""


def is_lost_peer(error: BaseException) -> bool:
    """Whether an error means that another process of the group is gone."""
    import torch.distributed as distributed

    network = (
        distributed.DistNetworkError, distributed.DistBackendError, distributed.DistStoreError
    )  # fmt: skip
    return isinstance(error, network) or (
        isinstance(error, RuntimeError) and LOST.search(str(error)) is not None
    )
