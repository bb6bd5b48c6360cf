"""How to get Panda-70M: its licence asks for steps that a person must take."""

from typing import Any

from src.console.options import make_app
from src.console.output import command

STEPS = """Panda-70M is licensed for research only, not for commercial use, and Newsreel does
not fetch it for you.
1. Read the licence at https://github.com/snap-research/Panda-70M and have your legal desk
   approve the use.
2. Fetch one of the CSV lists (start with panda70m_testing.csv) from the links on that page.
3. Fetch and cut the clips with the page's own tool, `dataset_dataloading/video2dataset`.
4. Put the clips into a folder and write the manifest:
   python -m src.data_prep.prepare_metadata --videos FOLDER --source Panda-70M \\
       --licence "Panda-70M, research only" --rights "approved by NAME on DATE"
"""


def panda_app() -> Any:
    """Prints the steps."""
    return make_app({}, "Say how Panda-70M is obtained; nothing is fetched.", _main)


def _main(_: dict[str, Any]) -> None:
    with command():
        print(STEPS, end="")


if __name__ == "__main__":
    panda_app()(prog_name="python -m src.data_prep.download_panda70m")
