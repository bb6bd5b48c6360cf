"""The warm session of a process: plans that share its key find the pipeline loaded."""

from collections.abc import Callable
from pathlib import Path

from src.core.plan import Plan, SessionKey
from src.engine.session import Session
from src.pipelines.adapter_files import AdapterFile


class Sessions:
    """Keeps the last session warm: opening another key unloads the one before.

    broken: switches of profiles that failed on this machine, and why; later clips go without them.
    """

    def __init__(self) -> None:
        self._session: Session | None = None
        self.broken: dict[str, str] = {}

    def opener(
        self, folder: Path, adapters: tuple[AdapterFile, ...] = ()
    ) -> Callable[[Plan], Session]:
        """A function from a plan to its session, loaded from `folder`; warm when the key is the
        last one's.
        """
        return lambda plan: self._open(plan.session, folder, adapters)

    def close(self) -> None:
        """Unload the warm session: another kind of work wants the memory."""
        if self._session is not None:
            self._session.unload()
            self._session = None

    def dismiss(self) -> None:
        """End the processes that make clips with this one, where there are any."""
        if self._session is not None and self._session.key.gpus > 1:
            self.close()

    def _open(self, key: SessionKey, folder: Path, adapters: tuple[AdapterFile, ...]) -> Session:
        if self._session is None or (_loaded(self._session.key), self._session.folder) != (
            _loaded(key),
            folder,
        ):
            if self._session is not None:
                self._session.unload()
            self._session = Session(key, folder)
        self._session.adapters = adapters
        return self._session


def _loaded(key: SessionKey) -> SessionKey:
    """The key without what only decoding looks at."""
    return key.model_copy(update={"tiling": False})
