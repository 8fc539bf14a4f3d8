"""Who may import whom: left may be imported by right, nothing else; and which file each library is imported by."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import tfnorm

ROOT = Path(tfnorm.__file__).parent
FILES = {path.relative_to(ROOT).with_suffix("").as_posix(): path for path in sorted(ROOT.rglob("*.py"))}

# from left to right; a folder is one module to the others
MAY: dict[str, set[str]] = {
    "errors": set(),
    "lazy": set(),
    "layer_names": set(),
    "codec": {"errors"},
    "progress": {"errors"},
    "kernels": set(),
    "patience": set(),
    "spark_jobs": set(),
    "engines": {"errors", "patience", "spark_jobs"},
    "sources": {"errors", "kernels", "patience", "spark_jobs"},
    "statistics": {"errors", "kernels"},
    "tallying": {"kernels", "statistics"},
    "curve": set(),
    "quantiles": {"errors", "codec", "kernels", "statistics", "tallying", "curve"},
    "key_texts": {"kernels"},
    "key_columns": {"errors", "kernels", "key_texts"},
    "keys": {"errors", "codec", "key_columns"},
    "maps": {"errors", "codec", "keys"},
    "covariance": {"errors", "codec", "statistics", "maps"},
    "grouped": {"errors", "lazy", "kernels", "statistics", "quantiles", "keys", "covariance"},
    "techniques": {"errors", "maps", "statistics", "curve", "quantiles", "covariance", "keys"},
    "gatherings": {"statistics", "covariance", "grouped"},
    "profile": {"errors", "codec", "statistics", "curve", "quantiles", "covariance", "keys", "gatherings"},
    "sparse_covariance": {"errors", "kernels", "sources", "statistics", "covariance"},
    "sparse": {"errors", "kernels", "sources", "statistics", "quantiles", "covariance", "sparse_covariance"},
    "counted": {"errors", "sources", "statistics"},
    "apply": {"errors", "kernels", "engines", "sources", "maps"},
    "unseen": {"errors", "sources", "keys", "maps", "apply"},
    "ends": {"errors", "sources", "statistics", "keys", "grouped", "maps", "techniques", "profile"},
    "rules": {
        *("errors", "codec", "sources", "statistics", "keys", "maps", "techniques", "profile", "apply", "ends"),
    },
    "measuring": {
        *("errors", "engines", "sources", "statistics", "quantiles", "grouped", "maps", "profile", "apply", "unseen"),
        *("sparse", "counted"),
    },
    "writing": set(),
    "messages": {"errors", "codec"},
    "states": {"errors", "codec", "messages", "grouped", "profile", "statistics", "measuring"},
    "skipping": {"errors", "sources", "profile", "measuring"},
    "checkpoint": {"errors", "sources", "measuring", "messages", "states", "writing"},
    "elsewhere": {"errors", "engines", "progress", "sources", "measuring", "messages", "states", "checkpoint"},
    "gather": {
        *("errors", "engines", "progress", "sources", "statistics", "quantiles", "profile", "gatherings", "measuring"),
        "elsewhere",
    },
    "keras_part": set(),
    "images": {"errors", "sources", "keras_part"},
    "fitted_column": {
        *("errors", "sources", "maps", "profile", "apply", "unseen", "measuring", "rules", "keras_part"),
    },
    "targets": {"errors", "sources", "maps", "fitted_column"},
    "datasets": {"errors", "sources", "fitted_column", "targets", "keras_part"},
    "fitted": {
        *("targets", "datasets", "engines", "progress", "ends"),
        *(
            "errors",
            "codec",
            "sources",
            "maps",
            "techniques",
            "profile",
            "apply",
            "unseen",
            "rules",
            "keras_part",
        ),
        "fitted_column",
    },
    "converting": {"errors", "sources", "maps", "techniques", "profile", "fitted", "keras_part"},
    "exits": {
        *(
            "errors",
            "keys",
            "maps",
            "sources",
            "profile",
            "measuring",
            "unseen",
            "fitted_column",
            "fitted",
            "keras_part",
            "writing",
        ),
    },
    "choosing": {"errors", "sources", "maps", "techniques", "profile", "covariance"},
    "pushing": {"statistics", "curve", "quantiles", "covariance", "maps"},
    "already": {"sources", "statistics", "techniques", "profile"},
    "chains": {
        *("errors", "codec", "sources", "statistics", "quantiles", "keys", "grouped", "maps", "techniques", "profile"),
        *("pushing", "covariance"),
    },
    "fitting": {
        "progress",
        *("errors", "codec", "sources", "statistics", "quantiles", "maps", "techniques", "profile", "gather", "fitted"),
        *("already", "choosing", "chains", "rules", "checkpoint", "skipping", "engines", "measuring"),
    },
    "fading": {"measuring", "statistics", "quantiles", "covariance"},
    "running": {
        *("errors", "codec", "sources", "statistics", "techniques", "profile", "gather", "fitted", "fitting", "fading"),
        *("gatherings", "choosing", "chains", "rules", "keras_part", "engines", "measuring"),
    },
    "artefact": {
        "errors",
        "codec",
        "maps",
        "techniques",
        "profile",
        "rules",
        "fitted",
        "fitting",
        "running",
        "writing",
    },
    "layer": {
        *("errors", "codec", "key_columns", "keys", "sources", "statistics", "maps", "techniques", "profile", "gather"),
        "measuring",
        *("chains", "fitted", "fitting", "fading", "running", "artefact", "layer_names"),
    },
    "sklearn": {
        *("errors", "sources", "maps", "techniques", "fitted", "fitting", "running", "artefact"),
    },
    "ray": {"errors", "fitted", "fitting", "artefact"},
    "binning": {"curve"},
    "summary": {"sources", "statistics", "quantiles", "maps", "techniques", "profile", "fitted", "binning"},
    "looks": {"statistics", "curve", "quantiles", "maps", "profile", "pushing", "binning", "summary"},
    "drawing": {"errors", "sources", "writing", "binning", "summary", "looks"},
    "tables": {"sources", "keys", "maps", "profile", "fitted", "binning", "summary", "drawing"},
    "plots": {"sources", "profile", "fitted_column", "summary", "looks", "drawing"},
    "reporting": {
        *("errors", "sources", "writing", "profile", "rules", "fitted", "binning", "summary", "looks", "drawing"),
    },
    "drift": {
        *("progress", "engines", "measuring"),
        *(
            "errors",
            "codec",
            "sources",
            "statistics",
            "curve",
            "quantiles",
            "maps",
            "techniques",
            "profile",
            "unseen",
            "gather",
            "fitted",
        ),
        *("skipping", "pushing", "fitting", "summary", "tables"),
    },
    "drift_callback": {"errors", "profile", "fitted", "drift"},
    "advice": {
        "progress",
        *(
            "errors",
            "sources",
            "statistics",
            "curve",
            "quantiles",
            "maps",
            "techniques",
            "profile",
            "gather",
            "fitted",
            "choosing",
            "pushing",
        ),
        *("already", "skipping", "chains", "fitting", "summary", "tables"),
    },
    "comparing": {
        *("progress", "already"),
        *(
            "errors",
            "codec",
            "key_columns",
            "sources",
            "maps",
            "techniques",
            "profile",
            "fitted",
            "choosing",
            "fitting",
        ),
        *("writing", "skipping", "artefact", "drawing"),
    },
    "files_elsewhere": {"engines", "elsewhere", "fitted", "artefact"},
    "files_out": {"engines", "progress", "errors", "sources", "maps", "unseen", "fitted", "files_elsewhere"},
    "beam": {
        *("errors", "engines", "sources", "maps", "techniques", "profile", "unseen", "measuring"),
        *("messages", "states", "skipping", "gather", "fitted", "choosing", "fitting", "artefact"),
    },
    "spark": {
        *("errors", "spark_jobs", "sources", "profile", "unseen", "fitted", "fitting", "artefact", "files_out"),
    },
    "terminal": {"progress"},
    "demo_model": {"fitted", "summary", "terminal"},
    "demo": {"errors", "fitted", "summary", "demo_model"},
    "cli": {
        *(
            "errors",
            "sources",
            "techniques",
            "fitted",
            "artefact",
            "summary",
            "tables",
            "files_out",
            "terminal",
            "demo",
        ),
        *("writing", "engines"),
        *("advice", "looks", "drawing", "reporting", "drift", "comparing", "exits"),
    },
    "__main__": {"cli"},
    "__init__": {"layer_names"},
}

# what a method of a value calls when it is asked to: to the right, hence inside the method
LATE = {
    ("profile", "artefact"),
    ("profile", "tables"),
    ("fitted", "fitting"),
    ("fitting", "advice"),
    ("fitted", "artefact"),
    ("fitted", "tables"),
    ("fitted", "drift"),
    ("fitted", "exits"),
    ("fitted", "files_out"),
    ("exits", "artefact"),
    ("fitted_column", "chains"),
    ("fitted_column", "plots"),
    ("profile", "plots"),
    ("keras_part", "layer"),
    ("running", "artefact"),
    ("__init__", "keras_part"),
}

# library -> the files that import it; those in OPTIONAL are imported inside functions, when there is need
LIBRARIES = {
    "numba": {"kernels/moments", "kernels/powers", "kernels/decimals", "kernels/turning"},
    "llvmlite": {"kernels/powers", "kernels/decimals", "kernels/turning"},
    "keras": {
        *(
            f"layer/{name}"
            for name in (
                *(
                    "adapt_data",
                    "adapting",
                    "attach",
                    "backbones",
                    "builtin",
                    "drop_in",
                    "finding",
                    "fixed",
                    "lookups",
                    "normalize",
                    "running",
                ),
                *("serving", "stored", "tensors", "traced"),
                *("__init__", "blocks", "doubles", "groups", "heads", "live", "replicas"),
            )
        ),
        *("demo_model", "drift_callback", "comparing/training"),
    },
    "tensorflow": {
        *("datasets", "layer/replicas"),
        *("converting/graph", "converting/tft"),
        *("sources/tensorflow", "sources/decoding", "layer/lookups", "drift/tap", "comparing/training"),
        *(f"exits/{name}" for name in ("integers", "litert", "onnx", "saved_model", "whole")),
    },
    "ai_edge_litert": {"exits/litert"},
    "onnx": {"exits/onnx"},
    "onnxruntime": {"exits/onnx"},
    "tf2onnx": {"exits/onnx"},
    "PIL": {"sources/decoding"},
    "pandas": {"sources/pandas"},
    "polars": {"sources/polars"},
    "scipy": {"sources/scipy"},
    "sklearn": {"sklearn", "converting/scikit"},
    "h5py": {"sources/hdf5"},
    "zarr": {"sources/zarr"},
    "fsspec": {"sources/remote"},
    "duckdb": {"sources/database"},
    "apache_beam": {"engines/beam", *(f"beam/{name}" for name in ("elements", "transforms"))},
    "pyspark": {"engines/spark", "sources/spark", "spark", "spark_jobs"},
    "ray": {"engines/ray", "sources/ray"},
    "dask": {"engines/dask"},
    "distributed": {"engines/dask"},
    "array_record": {"sources/array_record"},
    "matplotlib": {"demo_model", "drawing/png"},
    "jinja2": {"reporting/rendering"},
    "typer": {file for file in FILES if file.startswith("cli/")},
    "rich": {"terminal"},
}
OPTIONAL = {
    "tensorflow",
    "pandas",
    "polars",
    "scipy",
    "matplotlib",
    "h5py",
    "zarr",
    "fsspec",
    "array_record",
    "PIL",
    "duckdb",
    "pyspark",
    *("ai_edge_litert", "onnx", "onnxruntime", "tf2onnx"),
    *("ray", "dask", "distributed"),
}


def imports(tree: ast.AST, *, inside: bool = False) -> Iterator[tuple[str, bool]]:
    """(what is imported, whether inside a function); what only type checkers see is not."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                yield f"{node.module}.{alias.name}", inside
        else:
            is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from imports(node, inside=inside or is_function)


def module_of(file: str) -> str:
    return file.split("/", maxsplit=1)[0]


def wrong(file: str, source: str) -> list[str]:
    """What a file imports and may not."""
    found, here = [], module_of(file)
    for name, inside in imports(ast.parse(source)):
        top, *rest = name.split(".")
        if top == "tfnorm":
            other = rest[0] if rest and rest[0] in MAY else ""
            late = inside and (here, other) in LATE
            if other not in ("", here) and other not in MAY[here] and not late:
                found.append(f"{file} imports {name}")
        elif top in LIBRARIES and (file not in LIBRARIES[top] or (top in OPTIONAL and not inside)):
            found.append(f"{file} imports {name}")
    return found


@pytest.mark.parametrize("file", FILES)
def test_a_file_imports_what_it_may(file: str) -> None:
    assert module_of(file) in MAY, "say in MAY what the new module may import"
    assert wrong(file, FILES[file].read_text()) == []


def test_the_table_goes_from_left_to_right() -> None:
    known: set[str] = set()
    for module, may in MAY.items():
        assert may <= known, module
        known.add(module)
    assert known == {module_of(file) for file in FILES}
    assert all(other not in MAY[here] for here, other in LATE)


def test_sources_and_engines_know_none_of_the_others() -> None:
    for folder in ("sources", "engines", "kernels"):
        for file in (file for file in FILES if module_of(file) == folder):
            names = {name for name, _ in imports(ast.parse(FILES[file].read_text())) if name.startswith("tfnorm.")}
            known = {folder, "errors"}
            known |= {"patience", "spark_jobs"} if folder != "kernels" else set()
            known |= {"kernels"} if folder == "sources" else set()  # to parse records
            assert all(name.split(".")[1] in known for name in names), file


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("kernels/cells", "from tfnorm.statistics import Block"),
        ("sources/csv", "from tfnorm import maps"),
        ("statistics", "def f():\n    from tfnorm.quantiles import Quantiles"),
        ("profile", "from tfnorm.tables import profile_text"),
        ("fitting", "import keras"),
        ("fitting", "def f():\n    import numba"),
        ("sources/frames", "def f():\n    import pandas as pd"),
        ("sources/pandas", "import pandas as pd"),
        ("fitted", "class A:\n    def f(self):\n        import tensorflow.keras"),
    ],
)
def test_what_it_may_not_is_found(file: str, source: str) -> None:
    assert wrong(file, source) != []
