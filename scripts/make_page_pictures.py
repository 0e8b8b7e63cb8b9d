"""Take the pictures of the page that the documents show: wide, dark and narrow.

Usage: python scripts/make_page_pictures.py REPORT.html (from `segment1b page`); needs chromium of
Debian. The browser draws without a network and without a graphics card.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"
SIZES = {
    "page_1440.png": (1440, 1000, "light"),
    "page_1440_dark.png": (1440, 1000, "dark"),
    "page_390.png": (390, 844, "light"),
}


def main() -> None:
    """Open the page at each size and keep what is seen first."""
    report = Path(sys.argv[1]).resolve()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
        )
        for name, (width, height, scheme) in SIZES.items():
            page = browser.new_page(
                viewport={"width": width, "height": height},
                color_scheme="dark" if scheme == "dark" else "light",
            )
            page.goto(report.as_uri())
            page.wait_for_function("document.documentElement.dataset.ready === 'yes'")
            page.wait_for_timeout(3000)
            taken = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            taken.quantize(128, dither=Image.Dither.NONE).save(PICTURES / name, optimize=True)
        browser.close()


if __name__ == "__main__":
    main()
