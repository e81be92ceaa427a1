"""What XLA is told by the tests: compile quickly, however slow the program."""

from importlib.metadata import version

# Compiles in a fifth of the time. Not for tests of equal bits of two programs: fused
# differently, they may round differently.
COMPILES_QUICKLY = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    " --xla_cpu_parallel_codegen_split_count=1"
)
JAXLIB = tuple(map(int, version("jaxlib").split(".")[:2]))
# XLA ends the process at a flag that it does not know; later versions have no other loops.
if JAXLIB < (0, 12):
    COMPILES_QUICKLY += " --xla_cpu_use_fusion_emitters=false"
