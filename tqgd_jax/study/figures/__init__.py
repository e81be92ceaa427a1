"""The paper's figures from the results of a study."""
