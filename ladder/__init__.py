"""LLM Ladder: a workbook of auto-graded exercises, from Jacobians to a KV-cache block manager."""

__version__ = "0.1.0"
