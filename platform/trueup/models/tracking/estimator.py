"""An estimator read from its file, which may hold nothing but what trueup trusts."""

from __future__ import annotations

from importlib.metadata import version as installed
from typing import Any
from zipfile import BadZipFile

from trueup.errors import ModelError

ESTIMATOR_FILE = "model.skops"
TRUSTED_TYPES = ("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",)
"""Beyond what skops trusts by itself. Ours when loading too: a model does not choose what is trusted."""
SAFE = "Save it as skops, whose types can be checked: skops.io.dump, or serialization_format='skops' of MLflow."


def load_estimator(content: bytes, name: object) -> Any:
    """The estimator in a skops file. name: of the model, for messages.

    Raises ModelError when it is no such file, holds a type that is not trusted, or cannot be read by what is installed.
    """
    import skops.io  # imports scikit-learn: only a process that loads a model pays for it
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        return skops.io.loads(content, trusted=list(TRUSTED_TYPES))
    except UntrustedTypesFoundException as error:
        raise ModelError(
            f"model {name}: its file holds types trueup does not trust: {error}",
            hint="Such a file can run code when it is loaded. Train the model with `trueup train`.",
        ) from error
    except (BadZipFile, KeyError) as error:
        raise ModelError(f"model {name}: its file is no skops file, or damaged ({error}).", hint=SAFE) from error
    except (ValueError, TypeError, LookupError, AttributeError, ImportError) as error:
        raise ModelError(
            f"model {name}: its {ESTIMATOR_FILE} cannot be loaded by this scikit-learn "
            f"{installed('scikit-learn')}: {type(error).__name__}: {error}",
            hint="It may be damaged, or of another version: see trueup env diff.",
        ) from error
