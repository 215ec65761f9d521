"""One stage per file: `run_stage(run, [plan,] report) -> StageResult`; the run is of the type that the stage needs."""
