"""How a file is called in an upload."""

import posixpath


def sent_file_name(path: str) -> str:
    """A file's name as it is sent, which is how the registry shows it ever after.

    The basename: registries store the whole of what comes, and conversions of files sent with their folders failed.
    A folder, which is written with a / at its end, is sent as a zip.
    As browsers write it (WHATWG multipart/form-data): quotes and line breaks are percent-encoded.
    """
    # A name on disk that is no UTF-8 gets question marks.
    base = posixpath.basename(path[:-1]) + ".zip" if path.endswith("/") else posixpath.basename(path)
    name = base.encode("utf-8", "replace").decode()
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
