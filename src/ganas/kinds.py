"""Which function does which kind of job. Workers alone import them (`ganas.jobs.worker.load_work`)."""

KINDS = {
    "candidate": "ganas.growing.candidate_job:train_candidate",
    "search": "ganas.recipes.recipe_job:run_search",
    "train": "ganas.recipes.recipe_job:run_training",
}
