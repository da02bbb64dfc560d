"""A study's figures and its page, drawn from its tables: the model is not needed."""

from pathlib import Path

from vitro.experiments import EVERY_STUDY, EXPERIMENTS, FIND, SCORE_EXPERIMENTS, Experiment
from vitro.experiments.findings import findings
from vitro.experiments.prompts import PROMPTS, asked
from vitro.figures import to_spec, to_svg, unchecked
from vitro.folder import write_file
from vitro.options import Options, options_of
from vitro.progress import bar
from vitro.record import Record, Settings, Study, done_of, made_from_tables
from vitro.report import Page, Section, Sentence, found_head, render
from vitro.tables import counted


def draw(folder: Path, record: Record) -> None:
    """Every figure and the page, from the tables of the finished experiments."""
    study = Study(folder, record)
    sections = []
    done = sorted(done_of(record), key=lambda experiment: experiment is not FIND)
    with bar("drawing the report") as progress:
        for number, experiment in enumerate(done):
            with made_from_tables(folder, experiment.title), unchecked():
                tables = study.tables(experiment)
                figures = {name: to_spec(figure) for name, figure in experiment.figures(tables).items()}
                numbers = experiment.numbers(tables)
            for name, figure in figures.items():
                write_file(folder / "figures" / f"{name}.svg", to_svg(figure).encode())
            sections.append(
                Section(
                    name=experiment.name,
                    title=experiment.title,
                    reading=experiment.reading,
                    figures=figures,
                    numbers=numbers,
                    python=experiment.python,
                    command=_own_command(record, experiment),
                )
            )
            progress(number + 1, len(done))
        with made_from_tables(folder, "The summary"):
            page = Page(
                title=f"{record.settings.task['name']} in {_short(record.settings)}",
                # What the search found is said by the head.
                lead=[sentence for sentence in summary(study) if sentence.at != FIND.name],
                facts=_facts(record),
                sections=sections,
                asked=asked(study.tables(PROMPTS)) if PROMPTS.name in record.experiments else "",
                head=found_head(study.tables(FIND)) if FIND in done else None,
                left_out=[
                    *(f"{EXPERIMENTS[name].title} (needs {lacks})" for name, lacks in record.left_out.items()),
                    *(f"{EXPERIMENTS[name].title} ({why})" for name, why in record.without_value.items()),
                ],
                command=_whole(record),
                python=record.python,
            )
        write_file(study.report, render(page).encode())


def _short(settings: Settings) -> str:
    """The model's name for a title: a hub id as it is, of a path the last part."""
    return settings.model if settings.revision else Path(settings.model).name or settings.model


def _by(record: Record, command: str, *flags: str) -> str:
    """One of Vitro's commands with this study's model, task and options, and flags of its own."""
    return " ".join([record.command.replace("study", command, 1), *flags])


def _own_command(record: Record, experiment: Experiment) -> str:
    """The command that makes an experiment, where it is another than `vitro study`; else empty."""
    command, *flags = experiment.command.split()
    if command == "study":
        return ""
    if experiment.beside:
        compared = set(record.experiments[experiment.name].compared)
        if record.settings.options.get("top_edges") is not None:
            # Exact scores of some edges rank none (see `vitro curve`).
            compared.discard(SCORE_EXPERIMENTS["exact"].name)
        compared.update(need.name for need in experiment.needs)
        scores = [name for name, score in SCORE_EXPERIMENTS.items() if score.name in compared]
        flags += ["--scores", ",".join(scores)] if scores else []
    return _by(record, command, *flags)


def _whole(record: Record) -> str:
    """The commands that make all that the record has, a line each.

    It is one where all is there that every study makes, or only some of that; a folder of `vitro find` or `vitro edges`
    alone has theirs.
    """
    done = done_of(record)
    if {FIND.name, *record.experiments, *record.left_out, *record.without_value}.issuperset(EVERY_STUDY):
        also = [f"--also {experiment.name}" for experiment in done if experiment.command != "study"]
        return _by(record, "study", *([] if FIND in done else ["--no-find"]), *also)
    needed = {need.name for experiment in done for need in experiment.needs}
    asked = [experiment for experiment in done if experiment.name not in needed]
    if any(experiment.command == "study" and experiment is not FIND for experiment in asked):
        return _by(record, "study", "--measure", ",".join(experiment.call for experiment in asked))
    own = [_own_command(record, experiment) for experiment in done]
    searched = [_by(record, FIND.name)] if FIND in done else []
    return "\n".join(dict.fromkeys([*filter(None, own), *searched])) or record.command


def _facts(record: Record) -> list[tuple[str, str]]:
    settings = record.settings
    return [
        ("Model", f"{settings.model}{f'@{settings.revision}' if settings.revision else ''}"),
        ("Family and sizes", ", ".join(f"{name} {value}" for name, value in record.model.items())),
        ("Weights, SHA-256", settings.weights_sha256),
        ("Configuration, SHA-256", settings.config_sha256),
        ("Tokenizer, SHA-256", settings.tokenizer_sha256),
        *record.task.items(),
        *(("Tokens", note) for note in record.notes),
        *(
            (
                option.name.replace("_", " ").capitalize(),
                record.by_task.get(option.name) or option.write(settings.options[option.name]),
            )
            for option in options_of(Options)
            if option.name in settings.options
        ),
        *(record.loaded.facts(settings.dtype) if record.loaded else ()),
        *((name.replace("_", " ").capitalize(), choice) for name, choice in record.conventions.items()),
        ("Device, number format", f"{record.machine.device}, {settings.dtype}"),
        (
            "Machine",
            f"{record.machine.system}, {record.machine.processor}, {counted(record.machine.threads, 'thread')}",
        ),
        ("Versions", ", ".join(f"{name} {number}" for name, number in record.versions.items())),
        ("Seconds", _seconds(record)),
    ]


def _seconds(record: Record) -> str:
    """What all of it took, and what the longest did."""
    took = sorted(((done.seconds, name) for name, done in record.experiments.items()), reverse=True)
    longest = ", ".join(f"{name} {seconds:.1f}" for seconds, name in took[:5])
    return f"{sum(seconds for seconds, _ in took):.1f} in all; the longest: {longest}"


def summary(study: Study) -> list[Sentence]:
    """A study's findings: a sentence for each measurement that has one; before them that the numbers are not proved."""
    done, loaded = done_of(study.record), study.record.loaded
    tables = {name: study.table(name) for experiment in done for name in experiment.tables}
    doubt = f"Not proved: the numbers are not those of transformers ({loaded.parity_in_words})." if loaded else ""
    return [*([Sentence(doubt)] if loaded and loaded.trusted else []), *findings(done, tables)]
