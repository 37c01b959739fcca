"""Reading and writing image files, losslessly in meaning.

`read` turns a file into a `Photograph`: plain pixels the right way up, beside the
transparency and the metadata that must survive a restoration. `write` does the
reverse, and `open_writer` a few rows at a time. Whatever cannot be carried over intact
is refused with a sentence, never silently cut.
"""

from xunit_keras.imaging.files.folders import Survey, find, survey
from xunit_keras.imaging.files.formats import (
    MAX_PIXELS,
    READABLE_SUFFIXES,
    SUFFIXES,
    max_pixels,
    writable_path,
    writes_rows,
)
from xunit_keras.imaging.files.photograph import ImageFileError, Photograph
from xunit_keras.imaging.files.reading import read
from xunit_keras.imaging.files.writing import (
    RowWriter,
    bytes_needed,
    check_writable,
    open_writer,
    write,
)

__all__ = [
    "MAX_PIXELS",
    "READABLE_SUFFIXES",
    "SUFFIXES",
    "ImageFileError",
    "Photograph",
    "RowWriter",
    "Survey",
    "bytes_needed",
    "check_writable",
    "find",
    "max_pixels",
    "open_writer",
    "read",
    "survey",
    "writable_path",
    "write",
    "writes_rows",
]
