"""`python -m backend.generators`: writes every generated file."""

from backend.app import app
from backend.generators.files import ROOT, generated_files


def main() -> None:
    for path, text in generated_files(app.openapi()).items():
        (ROOT / path).write_text(text)
        print(path)


if __name__ == "__main__":
    main()
