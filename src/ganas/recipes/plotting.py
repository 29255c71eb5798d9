"""Save a plot as a PNG file that ganas recognizes as its own."""

from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure

from ganas.data.decode import SOFTWARE
from ganas.store import write_atomically

PANEL = (4.2, 3.2)  # inches


def save(figure: Figure, path: Path) -> None:
    """Write a figure atomically; the file says that it was generated, so that nobody trains on it."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=150, metadata={"Software": SOFTWARE})
    write_atomically(path, buffer.getvalue())
