"""Models."""

from mlcore_emloop_compat.models.abstract_model import AbstractModel

__all__ = ["AbstractModel"]
