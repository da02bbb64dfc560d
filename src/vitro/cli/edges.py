"""`vitro edges`: takes all that `vitro study` takes, since a folder holds one study."""

from dataclasses import asdict

from vitro.cli.parameters import (
    FolderOption,
    Json,
    ModelOption,
    ScoresOption,
    TaskArgument,
    default_folder,
    scores_of,
    takes_options,
    task_of,
)
from vitro.cli.printing import print_json, print_plain, print_table, print_text
from vitro.cli.start import resumable
from vitro.options import Machine, Options, TaskOptions


@takes_options
@resumable()
def edges(
    task: TaskArgument,
    model: ModelOption,
    task_options: TaskOptions,
    options: Options,
    machine: Machine,
    scores: ScoresOption = "exact,eap,eap-ig",
    out: FolderOption = None,
    as_json: Json = False,
) -> None:
    """Score every edge of a model. `exact` cuts each alone: minutes; stopped, it goes on where it was.

    The folder may be a study's own, made with the same options: its report then shows the edges too. Scores can be
    added to it later; what is measured is not measured again.
    """
    names = scores_of(scores)
    chosen = task_of(task, options, task_options)
    folder = out or default_folder(chosen.name, model, options)

    from vitro.experiments import EXPERIMENTS, SCORE_EXPERIMENTS
    from vitro.experiments.edges_agreement import EDGES_AGREEMENT
    from vitro.study import run_study

    asked = [SCORE_EXPERIMENTS[name].name for name in names] + [EDGES_AGREEMENT.name] * ("exact" in names)
    measured = run_study(model, chosen, folder, options, experiments=asked, **asdict(machine))
    shown = SCORE_EXPERIMENTS[names[0]]
    strongest = shown.numbers(measured.tables(shown))
    compared = EDGES_AGREEMENT.name in measured.record.experiments
    agreement = EDGES_AGREEMENT.numbers(measured.tables(EDGES_AGREEMENT)).to_dicts() if compared else []
    if as_json:
        files = {"folder": str(folder), "report": str(measured.report)}
        print_json({**files, "strongest": strongest.to_dicts(), "agreement": agreement})
        return
    print_table(strongest.columns, [[_text(value, "+.4f") for value in row] for row in strongest.rows()])
    # Its first row is exact itself.
    if len(agreement) > 1:
        print_text("Each score against exact: rank correlations, what the largest have in common, seconds")
        print_plain("")
        misses = {row["by"]: row.pop("worst misses") for row in agreement}
        names_of = ["score", "signed", *(name.removeprefix("in ") for name in list(agreement[0])[2:])]
        print_table(names_of, [[_text(value, ".3f") for value in row.values()] for row in agreement])
        for by, missed in misses.items():
            if missed:
                print_text(f"The worst misses of {by}: {', '.join(missed)}")
    for name in asked:
        if sentence := EXPERIMENTS[name].summary(measured.tables(EXPERIMENTS[name])):
            print_text(sentence)
    print_plain(f"The table: {folder / 'tables' / shown.name}.parquet")
    print_plain(f"The report: {measured.report}")


def _text(value: object, digits: str) -> str:
    """A cell of a table."""
    if value is None:
        return "-"
    return format(value, digits) if isinstance(value, float) else str(value)
