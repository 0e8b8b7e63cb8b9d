"""The command line: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from segment1b.cli import automate as cli_automation
from segment1b.cli import evidence as cli_evidence
from segment1b.cli import page as cli_page
from segment1b.cli import read as cli_egress
from segment1b.cli import reference as cli_reference
from segment1b.cli import scenario as cli_scenario
from segment1b.cli import store as cli_store
from segment1b.cli.options import (
    ROOT,
    AsJson,
    DataRoot,
    Dictionary,
    Fingerprint,
    LogFormat,
    ParameterHash,
    PolicyFiles,
    Seed,
    Settings,
    tokens,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Merchants' outlets on the planet: exact, reproducible, provable.",
)
outlets_app = typer.Typer(no_args_is_help=True, help="Bring outlet lists in.")
contracts_app = typer.Typer(no_args_is_help=True, help="Dictionary and schemas.")
app.add_typer(outlets_app, name="outlets")
app.add_typer(contracts_app, name="contracts")

ENGINE_HELP = "serial, threads, processes, dask, or a Dask scheduler: tcp://HOST:PORT."


@app.command()
def run(
    data_root: DataRoot = ROOT,
    outlets: Annotated[Path | None, typer.Option(help="Outlet list to bring in first.")] = None,
    seed: Seed = None,
    parameter_hash: ParameterHash = None,
    manifest_fingerprint: Fingerprint = None,
    validation_bundle: Annotated[Path | None, typer.Option(help="1A's bundle elsewhere.")] = None,
    dictionary: Dictionary = None,
    policy: PolicyFiles = None,
    settings: Settings = None,
    skip_s0: Annotated[
        bool, typer.Option("--skip-s0", help="Trust the S0 receipt that is there.")
    ] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Workers of all states.")] = None,
    s1_workers: Annotated[int | None, typer.Option(min=1, help="Workers of S1.")] = None,
    s4_workers: Annotated[int | None, typer.Option(min=1, help="Workers of S4 (1).")] = None,
    engine: Annotated[str, typer.Option(help=ENGINE_HELP)] = "threads",
    from_state: Annotated[str, typer.Option(help="First state.")] = "s0",
    to_state: Annotated[str, typer.Option(help="Last state.")] = "s9",
    merchant_summaries: Annotated[
        bool, typer.Option("--merchant-summaries", help="S4 reports each merchant.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Hash published files before reuse.")
    ] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for a lock.")] = 0.0,
    as_json: AsJson = False,
    log_format: LogFormat = "text",
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, warnings only.")] = False,
) -> None:
    """Run the states; with no option the embedded world, into ./segment1b-data."""
    import segment1b
    from segment1b.cli import console
    from segment1b.config import run_settings

    asked = run_settings(
        {
            "data_root": data_root,
            "outlets": outlets,
            "seed": seed,
            "parameter_hash": parameter_hash,
            "manifest_fingerprint": manifest_fingerprint,
            "validation_bundle": validation_bundle,
            "dictionary": dictionary,
            "policy_files": tuple(policy or ()),
            "settings": tuple(settings or ()),
            "skip_s0": skip_s0,
            "workers": workers,
            "s1_workers": s1_workers,
            "s4_workers": s4_workers,
            "engine": engine,
            "from_state": from_state,
            "to_state": to_state,
            "merchant_summaries": merchant_summaries,
            "verify": verify,
            "wait_seconds": wait,
        }
    )
    console.set_up_logs(log_format, quiet=quiet)
    with console.progress(log_format, quiet=quiet) as progress:
        result = segment1b.run(asked, progress)
    if as_json:
        console.print_json(console.run_summary(result))
    else:
        console.print_run(result)


@outlets_app.command("import")
def outlets_import(
    file: Annotated[Path, typer.Argument(help="CSV or Parquet.")],
    data_root: DataRoot = ROOT,
    seed: Seed = None,
    dictionary: Dictionary = None,
    policy: PolicyFiles = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Bring an outlet list in: catalogue, validation bundle, fingerprint."""
    from segment1b.cli import console
    from segment1b.config import RunSettings
    from segment1b.pipeline.prepare import import_outlets

    run, pairs = import_outlets(
        RunSettings(
            data_root=data_root,
            outlets=file,
            seed=seed,
            dictionary=dictionary,
            policy_files=tuple(policy or ()),
            settings=tuple(settings or ()),
        )
    )
    summary = {
        "pairs": len(pairs.n_sites),
        "outlets": int(pairs.n_sites.sum()),
        **run.identity.tokens,
        "ignored_columns": list(pairs.ignored),
    }
    if as_json:
        console.print_json(summary)
        return
    for name, value in summary.items():
        print(f"{name:<21} {value}")


@contracts_app.command("check")
def contracts_check(dictionary: Dictionary = None) -> None:
    """Check that dictionary and schemas agree."""
    from segment1b import contracts

    known = contracts.load(str(dictionary) if dictionary else None)
    found = known.check()
    for line in found:
        print(line)
    if found:
        raise typer.Exit(1)
    print(f"{len(list(known))} datasets agree with their schemas")


@app.command()
def explain(
    merchant: Annotated[int, typer.Option(help="merchant_id.")],
    country: Annotated[str, typer.Option(help="Two upper-case letters.")],
    data_root: DataRoot = ROOT,
    seed: Seed = None,
    parameter_hash: ParameterHash = None,
    manifest_fingerprint: Fingerprint = None,
    dictionary: Dictionary = None,
    as_json: AsJson = False,
) -> None:
    """Show how one pair's sites came to their tiles."""
    from segment1b.cli import console, explanations
    from segment1b.read import explanation

    found = explanation.explain(
        data_root,
        merchant,
        country,
        tokens(seed, parameter_hash, manifest_fingerprint),
        dictionary,
    )
    if as_json:
        console.print_json(found)
    else:
        explanations.print_explanation(found)


@app.command()
def replay(
    merchant: Annotated[int, typer.Option(help="merchant_id.")],
    country: Annotated[str, typer.Option(help="Two upper-case letters.")],
    site: Annotated[int, typer.Option(help="site_order.")],
    data_root: DataRoot = ROOT,
    seed: Seed = None,
    parameter_hash: ParameterHash = None,
    manifest_fingerprint: Fingerprint = None,
    dictionary: Dictionary = None,
    as_json: AsJson = False,
) -> None:
    """Show how one outlet came to its coordinate."""
    from segment1b.cli import console, explanations
    from segment1b.read import replay as story

    given = tokens(seed, parameter_hash, manifest_fingerprint)
    found = story.replay(data_root, merchant, country, site, given, dictionary)
    if as_json:
        console.print_json(found)
    else:
        explanations.print_replay(found)


def _validate(states: list[str], options: dict[str, Any], *, as_json: bool) -> None:
    from segment1b.cli import validation as validation_console

    if name := options.pop("print_sql"):
        validation_console.print_sql(states, options, name)
    elif not validation_console.run_validators(states, options, as_json=as_json):
        raise typer.Exit(1)


def _validate_command(name: str, states: list[str], text: str) -> None:
    @app.command(name, help=text)
    def command(
        data_root: DataRoot = ROOT,
        seed: Seed = None,
        parameter_hash: ParameterHash = None,
        manifest_fingerprint: Fingerprint = None,
        dictionary: Dictionary = None,
        validation_bundle: Annotated[Path | None, typer.Option(help="1A's bundle.")] = None,
        perf: Annotated[
            bool, typer.Option("--perf", help="Check budgets of time and memory too.")
        ] = False,
        print_sql: Annotated[
            str | None,
            typer.Option(metavar="CHECK", help="Only print a check's SQL, for DuckDB to run."),
        ] = None,
        as_json: AsJson = False,
    ) -> None:
        options = {
            "data_root": data_root,
            "seed": seed,
            "parameter_hash": parameter_hash,
            "manifest_fingerprint": manifest_fingerprint,
            "dictionary": dictionary,
            "validation_bundle": validation_bundle,
            "perf": perf,
            "print_sql": print_sql,
        }
        _validate(states, options, as_json=as_json)


_STATES = [f"s{number}" for number in range(10)]
_validate_command("validate", _STATES, "Check all published states independently.")
for _state in _STATES:
    _validate_command(f"validate-{_state}", [_state], f"Check {_state.upper()} independently.")


cli_egress.register(app)
cli_reference.register(app)
cli_automation.register(app)
cli_evidence.register(app)
cli_page.register(app)
cli_scenario.register(app)
cli_store.register(app)
