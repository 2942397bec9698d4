"""The Model protocol, and the one door through which every object becomes a Model.

A model maps a batch of named arrays to a batch of named arrays. Frameworks are known only to backends, which plugins
register. What a model is stored as is a bundle (see `mlcore.bundle`) of kind `model`.
"""

from mlcore.model.importing import import_object as import_object
from mlcore.model.importing import made_class as made_class
from mlcore.model.native import NativeBackend as NativeBackend
from mlcore.model.protocol import Backend as Backend
from mlcore.model.protocol import Batch as Batch
from mlcore.model.protocol import Labels as Labels
from mlcore.model.protocol import Model as Model
from mlcore.model.protocol import Origin as Origin
from mlcore.model.storing import pack_model as pack_model
from mlcore.model.storing import restore_model as restore_model
from mlcore.model.storing import save_model as save_model
from mlcore.model.wrapping import as_model as as_model
from mlcore.model.wrapping import backend_of as backend_of
from mlcore.model.wrapping import build_model as build_model
from mlcore.model.wrapping import check_options as check_options
from mlcore.model.wrapping import check_recognisable as check_recognisable
from mlcore.model.wrapping import framework_class as framework_class
from mlcore.model.wrapping import label_map as label_map
from mlcore.model.wrapping import wrap_options as wrap_options
