"""What XLA is told beyond the program itself."""

import jax


def compiler_options() -> dict[str, str] | None:
    """Gives convolutions to Eigen on CPU: on both cores, where YNNPACK runs on one.

    XLA calls the option experimental, so it is set only for the version it was measured
    with (docs/benchmarks.md). None elsewhere.
    """
    if jax.default_backend() != "cpu" or not jax.__version__.startswith("0.10."):
        return None
    fusions = "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT,LIBRARY_FUSION_TYPE_REDUCE"
    return {"xla_cpu_experimental_ynn_fusion_type": fusions}
