"""Files by key on any filesystem, contents by their digest, and the choice of a store.

Importing this loads no fsspec: a local store never needs it.
"""

from mlcore.store.blobs import Blobs
from mlcore.store.choice import StoreChoice, find_store, use_store
from mlcore.store.digest import Digest, Hashing
from mlcore.store.files import Entry, Exclusive, Reader
from mlcore.store.folder import Folder, as_folder
from mlcore.store.keys import check_key, safe_name
from mlcore.store.records import read_record
from mlcore.store.store import FORMAT, Store
from mlcore.store.temporary import temporary_folder
from mlcore.store.trees import files_below, open_file

__all__ = [
    "FORMAT",
    "Blobs",
    "Digest",
    "Entry",
    "Exclusive",
    "Folder",
    "Hashing",
    "Reader",
    "Store",
    "StoreChoice",
    "as_folder",
    "check_key",
    "files_below",
    "find_store",
    "open_file",
    "read_record",
    "safe_name",
    "temporary_folder",
    "use_store",
]
