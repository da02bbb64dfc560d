"""Many models, many tasks: a study of each task on each model, and one table of them all."""
