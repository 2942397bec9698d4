"""What may be loaded from a file: exact names of types and functions, never a module's whole contents.

A skops file names what it is made of, and loading calls it. So nothing is loaded but scikit-learn's public estimators
(each by its full name, as `sklearn.utils.all_estimators` lists them), the helpers below, and what the caller names.

This keeps a file from running code. It does not prove its numbers sound: trees and neighbour indices hold positions
that scikit-learn follows unchecked, so a crafted file could still crash the process.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from mlcore.errors import ModelError


def _named(module: str, names: str) -> tuple[str, ...]:
    """Spell the names out; nothing is looked up in the module."""
    return tuple(f"{module}.{name}" for name in names.split())


NUMPY = (
    *_named("numpy", "bool_ int8 int16 int32 int64 longlong uint8 uint16 uint32 uint64 ulonglong"),
    *_named("numpy", "float16 float32 float64 str_ dtype"),
    # Usual in a FunctionTransformer or FeatureAgglomeration.
    *_named("numpy", "absolute cbrt ceil exp exp2 expm1 fabs floor log log10 log1p log2 negative power rint"),
    *_named(
        "numpy",
        "reciprocal sign sqrt square tanh trunc sin cos tan arcsin arccos arctan sinh cosh",
    ),
    *_named("numpy", "arcsinh arccosh arctanh max mean median min sum std var"),
    # The global generator itself: see `canonical`.
    "numpy.random.mtrand._rand",
)

SCIPY = (
    *_named("scipy.special", "expit exp10 log1p expm1 log_ndtr logit ndtr ndtri xlog1py xlogy boxcox inv_boxcox"),
    *_named("scipy.sparse._csr", "csr_matrix csr_array"),
    *_named("scipy.sparse._csc", "csc_matrix csc_array"),
    *_named("scipy.sparse._coo", "coo_matrix coo_array"),
    *_named("scipy.sparse._dia", "dia_matrix dia_array"),
    "scipy.interpolate._bsplines.BSpline",
    # What a BSpline keeps of the arrays it was made of.
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
)

DISTANCES = tuple(
    f"sklearn.metrics._dist_metrics.{name}Distance{bits}"
    for name in (
        *("Euclidean", "SEuclidean", "Manhattan", "Chebyshev", "Minkowski", "Mahalanobis", "Hamming", "Canberra"),
        *("BrayCurtis", "Jaccard", "Dice", "RogersTanimoto", "RussellRao", "SokalSneath", "SokalMichener"),
        *("Matching", "Kulsinski", "Haversine"),
    )
    for bits in ("", "32", "64")
)

LOSSES = (
    *_named("sklearn._loss.loss", "AbsoluteError ExponentialLoss HalfBinomialLoss HalfGammaLoss HalfMultinomialLoss"),
    *_named("sklearn._loss.loss", "HalfPoissonLoss HalfSquaredError HalfTweedieLoss HalfTweedieLossIdentity HuberLoss"),
    *_named("sklearn._loss.loss", "PinballLoss"),
    *_named("sklearn._loss.link", "HalfLogitLink IdentityLink Interval LogLink LogitLink MultinomialLogit"),
    *_named("sklearn.linear_model._sgd_fast", "EpsilonInsensitive Hinge Huber Log ModifiedHuber SquaredLoss"),
    *_named("sklearn.linear_model._sgd_fast", "SquaredEpsilonInsensitive SquaredHinge"),
)

KERNELS = (
    *_named("sklearn.gaussian_process.kernels", "CompoundKernel ConstantKernel DotProduct ExpSineSquared"),
    *_named("sklearn.gaussian_process.kernels", "Exponentiation Hyperparameter Matern PairwiseKernel Product RBF"),
    *_named("sklearn.gaussian_process.kernels", "RationalQuadratic Sum WhiteKernel"),
)

SPLITTERS = (
    *_named("sklearn.model_selection._split", "GroupKFold GroupShuffleSplit KFold LeaveOneGroupOut LeaveOneOut"),
    *_named("sklearn.model_selection._split", "LeavePGroupsOut LeavePOut PredefinedSplit RepeatedKFold ShuffleSplit"),
    *_named("sklearn.model_selection._split", "RepeatedStratifiedKFold StratifiedGroupKFold StratifiedKFold"),
    *_named("sklearn.model_selection._split", "StratifiedShuffleSplit TimeSeriesSplit"),
)

SCORES = (
    *_named("sklearn.metrics._scorer", "_CurveScorer _PassthroughScorer _Scorer"),
    *_named("sklearn.metrics._classification", "accuracy_score balanced_accuracy_score f1_score log_loss"),
    *_named("sklearn.metrics._classification", "precision_score recall_score jaccard_score matthews_corrcoef"),
    *_named("sklearn.metrics._ranking", "average_precision_score roc_auc_score top_k_accuracy_score"),
    *_named("sklearn.metrics._regression", "explained_variance_score max_error mean_absolute_error r2_score"),
    *_named("sklearn.metrics._regression", "mean_squared_error median_absolute_error root_mean_squared_error"),
    *_named("sklearn.feature_selection._univariate_selection", "chi2 f_classif f_oneway f_regression r_regression"),
    *_named("sklearn.feature_selection._mutual_info", "mutual_info_classif mutual_info_regression"),
)

PARTS = (
    *_named("sklearn.calibration", "_CalibratedClassifier _SigmoidCalibration _TemperatureScaling"),
    *_named("sklearn.cluster._bisect_k_means", "_BisectingTree"),
    *_named("sklearn.cluster._kmeans", "_kmeans_single_elkan _kmeans_single_lloyd"),
    *_named("sklearn.compose._column_transformer", "_RemainderColsList make_column_selector"),
    *_named("sklearn.ensemble._hist_gradient_boosting.binning", "_BinMapper"),
    *_named("sklearn.ensemble._hist_gradient_boosting.predictor", "TreePredictor"),
    *_named("sklearn.gaussian_process._gpc", "_BinaryGaussianProcessClassifierLaplace"),
    *_named("sklearn.model_selection._search_successive_halving", "HalvingGridSearchCV HalvingRandomSearchCV"),
    *_named("sklearn.multiclass", "_ConstantPredictor"),
    *_named("sklearn.neighbors._ball_tree", "BallTree BallTree32 BallTree64"),
    *_named("sklearn.neighbors._kd_tree", "KDTree KDTree32 KDTree64"),
    *_named("sklearn.neural_network._stochastic_optimizers", "AdamOptimizer SGDOptimizer"),
    *_named("sklearn.tree._tree", "Tree"),
    *_named("sklearn.utils._bunch", "Bunch"),
    *_named("sklearn.utils._metadata_requests", "MetadataRequest MethodMetadataRequest"),
)

HELPERS = frozenset(("builtins.frozenset", *NUMPY, *SCIPY, *DISTANCES, *LOSSES, *KERNELS, *SPLITTERS, *SCORES, *PARTS))


@cache
def estimators() -> frozenset[str]:
    """The full name of each public estimator of the installed scikit-learn."""
    from sklearn.utils import all_estimators

    return frozenset(f"{cls.__module__}.{cls.__qualname__}" for _, cls in all_estimators())


def load(path: Path, *, trusted: Collection[str] = ()) -> Any:  # an estimator; scikit-learn is untyped
    """Load what `canonical.dumps` wrote, if all that it names is trusted.

    Args:
        path: A skops file.
        trusted: Full names of further types and functions that this file may use.

    Raises:
        ModelError: The file is unreadable, or names something untrusted, in which case nothing of it was executed, or
            something that is not installed as it was.
    """
    import skops.io

    data = path.read_bytes()
    found = _found(data, path)
    _refuse(found - HELPERS - set(trusted), path)
    try:
        with warnings.catch_warnings():
            _silence_versions()
            return skops.io.loads(data, trusted=sorted(found))
    except (AttributeError, ImportError, KeyError, IndexError, TypeError, ValueError) as error:
        raise ModelError(
            f"the estimator cannot be restored with what is installed: {error}",
            where=str(path),
            hint="install the versions that its manifest names",
        ) from error


def _found(data: bytes, path: Path) -> set[str]:
    """List all that skops itself does not trust."""
    import skops.io

    try:
        _check_size(data)
        return set(skops.io.get_untrusted_types(data=data))
    except (BadZipFile, LookupError, AttributeError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"this is no readable skops file: {error}", where=str(path), hint="save it again") from error


def _check_size(data: bytes) -> None:
    """Refuse an archive that is larger inside than outside; ours are not compressed."""
    with ZipFile(BytesIO(data)) as archive:
        size = sum(info.file_size for info in archive.infolist())
    if size > len(data):
        raise ValueError(f"its members have {size} bytes, the whole file only {len(data)}")


def _refuse(unknown: Iterable[str], path: Path) -> None:
    names = sorted(set(unknown) - estimators()) if unknown else []
    if names:
        raise ModelError(
            f"the file uses {', '.join(names)}, which mlcore does not trust; nothing was loaded",
            where=str(path),
            hint=f"if you know where the file comes from, allow exactly these: mlcore.load_model(…, trusted={names!r})",
        )


def _silence_versions() -> None:
    """scikit-learn warns once for each part of an estimator; the backend does it once for the whole."""
    from sklearn.exceptions import InconsistentVersionWarning

    warnings.simplefilter("ignore", InconsistentVersionWarning)
