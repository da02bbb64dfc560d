"""Many models, many tasks: a study of each task on each model, and one table of them all."""

from vitro.atlases.atlas import MEASURE, Asked, Atlas, atlas, cell_command, run
from vitro.atlases.cells import AtlasError, models_of
from vitro.atlases.queue import Outcome

__all__ = ["MEASURE", "Asked", "Atlas", "AtlasError", "Outcome", "atlas", "cell_command", "models_of", "run"]
