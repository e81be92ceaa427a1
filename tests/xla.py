"""What XLA is told by tests that start processes of their own."""

# Compiles in half the time. Not for tests of equal bits of two programs: fused
# differently, they may round differently.
COMPILES_QUICKLY = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)
