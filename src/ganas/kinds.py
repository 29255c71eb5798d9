"""The table of job functions by kind of job. Only workers import the functions (`ganas.jobs.worker.load_work`)."""

KINDS = {
    "candidate": "ganas.growing.candidate_job:train_candidate",
    "search": "ganas.recipes.cyclegan.recipe_job:run_search",
    "train": "ganas.recipes.cyclegan.recipe_job:run_training",
}
