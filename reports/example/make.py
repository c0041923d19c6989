"""Makes this example again, and its picture for the README: the broken release of `parity demo`, as it is judged here.

``python reports/example/make.py`` needs parity, and for the picture playwright and Chromium.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PICTURE = HERE.parents[1] / "docs" / "report.png"
WIDTH, HEIGHT, SCALE = 1280, 1490, 0.75  # of the window, in CSS pixels; pixels of the picture for each
LEFT_OUT = ("Candidates", "Findings")  # so that the picture holds the first screen and the first pictures
HIDE = """titles => {
  for (const title of document.querySelectorAll("h2")) {
    if (!titles.includes(title.textContent.trim())) continue;
    for (let part = title; part && (part === title || part.tagName !== "H2"); part = part.nextElementSibling)
      part.style.display = "none";
  }
}"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "parity", "demo", "--out", "pusht"], cwd=folder, check=True)
        for name in ("report.html", "report.json", "summary.md", "junit.xml"):
            shutil.copyfile(Path(folder) / "pusht" / "broken" / name, HERE / name)
    photograph(HERE / "report.html")


def photograph(page: Path) -> None:
    """Write what the page shows at first to `PICTURE`."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=SCALE)
        view.goto(page.as_uri())
        view.evaluate(HIDE, list(LEFT_OUT))
        view.screenshot(path=PICTURE)
        browser.close()


if __name__ == "__main__":
    main()
