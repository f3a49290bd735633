"""Loop, solver, extraction, executors, devices, checkpoints, ledger: the only place that trains."""
