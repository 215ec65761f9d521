"""One stage per file: `run_stage(run, report) -> StageResult`."""
