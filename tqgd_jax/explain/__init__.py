"""Where a detector looks: Grad-CAM++ and others, by module (Fig. 9)."""

from tqgd_jax.explain.explanation import Explainer, Explanation, explain

__all__ = ["Explainer", "Explanation", "explain"]
