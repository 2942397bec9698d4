"""Starting a run, and going on with one that was stopped, killed or lost."""

from __future__ import annotations

import json
import operator
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from mlcore.checkpoint import Checkpoints
from mlcore.config import Config, without_secret
from mlcore.errors import ConfigError, RunBusyError, RunError
from mlcore.journal import ship_spools
from mlcore.plugins import PluginHost, current_host
from mlcore.runs.attempt import Attempts
from mlcore.runs.environment import describe, difference
from mlcore.runs.find import run_folder
from mlcore.runs.ids import new_id, tail
from mlcore.runs.randomness import draw_seed, seed_everything
from mlcore.runs.run import Header, Run
from mlcore.runs.view import SILENCE, RunView
from mlcore.store import Folder, Store, find_store
from mlcore.versions import model_name


def start_run(
    config: Config | Mapping[str, Any] | None = None,  # any YAML values
    *,
    store: Store | str | None = None,
    name: str | None = None,
    seed: int | None = None,
    runner: str | None = None,
    parent: str | None = None,
    source: Path | None = None,
    overrides: Iterable[str] = (),
    host: PluginHost | None = None,
) -> Run:
    """Start a run; use it in a `with` block.

    Args:
        config: Kept with the run.
        store: Where it is kept; `MLCORE_STORE`, the nearest pyproject.toml or `.mlcore` by default.
        name: For people; made of the config's name and the id by default.
        seed: Of everything random. When given, the global generators of Python, NumPy and the frameworks that are
            imported are seeded with it.
        runner: Which runner executes it.
        parent: Id of the run that this one belongs to.
        source: Folder that the config's modules are imported from.
        overrides: What was changed in the config, for the record; they are applied already.
        host: The plugins that may subscribe.
    """
    name = model_name(name) if name else None
    if seed is not None and not 0 <= (seed := operator.index(seed)) < 2**32:
        raise RunError(f"the seed {seed} is out of range", hint="a seed has 32 bits: 0 to 4294967295")
    config = config if isinstance(config, Config) else Config.of(config or {})
    place = store if isinstance(store, Store) else Store(find_store(store).url)
    place.prepare()
    run_id = new_id()
    seed_given = seed is not None
    seed = draw_seed() if seed is None else seed
    header = Header(
        run_id, name or f"run-{tail(run_id)}", time.time(), seed, runner, parent, str(source) if source else None
    )
    folder = run_folder(place, run_id)
    folder.put_bytes("config.yaml", config.dump().encode())
    # Last: from here on it is a run, and can be resumed.
    folder.put_bytes("run.json", json.dumps(vars(header), indent=1).encode() + b"\n")
    attempt = Attempts(folder, run_id).claim(1, overrides=_recorded(overrides), environment=describe(source))
    _keep_difference(folder, attempt.number, source)
    host = host or current_host()
    if seed_given or runner:
        seed_everything(seed, host)
    return Run(place, folder, header, attempt=attempt, config=config, host=host)


def resume_run(
    view: RunView,
    overrides: Iterable[str] = (),
    *,
    takeover: bool = False,
    host: PluginHost | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Run:
    """Go on with a run from its newest complete checkpoint, from its folder alone.

    Args:
        view: The run.
        overrides: `KEY=VALUE` changes of its config from here on.
        takeover: Do not wait for a process that seems to be alive; it will stop when it notices.
        host: The plugins to use.
        say: Told, in a line each, what a person should know: checkpoints passed over, waiting.

    Raises:
        RunBusyError: It is still running.
        RunError: It is finished, and no override asks for more.
    """
    overrides = tuple(overrides)
    check_resumable(view, overrides, takeover=takeover, say=say)
    return go_on(view, stored_config(view, overrides), overrides, host=host, say=say)


def go_on(
    view: RunView, config: Config, overrides: Iterable[str], *, host: PluginHost | None, say: Callable[[str], None]
) -> Run:
    """Make the next attempt of a run, which was checked, from its newest complete checkpoint."""
    view.store.writer.claim()
    checkpoint, passed = Checkpoints(view.folder / "checkpoints").newest()
    for line in passed:
        say(line)
    attempts = Attempts(view.folder, view.id)
    source = Path(view.header.source) if view.header.source else None
    attempt = attempts.claim(
        view.next_attempt,
        overrides=_recorded(overrides),
        resumed_from=checkpoint.step if checkpoint else None,
        keep=checkpoint.state["run"]["keep"] if checkpoint else {},
        environment=describe(source),
    )
    _keep_difference(view.folder, attempt.number, source)
    Checkpoints(view.folder / "checkpoints").prune()  # which the last attempt may not have come to
    host = host or current_host()
    seed_everything(view.header.seed, host)
    return Run(
        view.store,
        view.folder,
        view.header,
        attempt=attempt,
        config=config,
        host=host,
        checkpoint=checkpoint,
    )


def stored_config(view: RunView, overrides: Iterable[str] = ()) -> Config:
    """The config of a run with everything that its resumes changed, and more overrides.

    Raises:
        ConfigError: A secret was left out of the stored config and is not given again.
    """
    config = Config.parse(view.config_text(), name=view.config_url, overrides=(*view.overrides(), *overrides))
    if config.redacted:
        key = config.redacted[0]
        raise ConfigError(
            f"{key} looked like a secret and was not stored",
            hint=f"give it again: mlcore resume {view.id} {key}=VALUE; or write ${{env:NAME}} in the config",
        )
    return config


def _keep_difference(folder: Folder, attempt: int, source: Path | None) -> None:
    text = difference(str(source or Path.cwd()))
    if text:
        folder.put_bytes(f"attempts/{attempt}.diff", text, sync=False)


def _recorded(overrides: Iterable[str]) -> tuple[str, ...]:
    return tuple(without_secret(override) for override in overrides)


def check_resumable(view: RunView, overrides: Collection[str], *, takeover: bool, say: Callable[[str], None]) -> None:
    """Refuse to resume a run that is finished or still running.

    Raises:
        RunBusyError: It is still running.
        RunError: It lies in no store; or it is finished, and no override asks for more.
    """
    if not view.store.exists() or view.folder.url != run_folder(view.store, view.id).url:
        raise RunError(
            f"run {view.name} ({view.id}) does not lie in a store: it can be read here, but not resumed",
            where=view.folder.url,
            hint="move it to <store>/runs/<yyyy-mm>/<id>",
        )
    if view.folder.local is None:
        for shipment in ship_spools(view.folder.url):
            if shipment.segments:
                say(f"shipped what attempt {shipment.writer} left on this machine")
    if view.status == "finished" and not overrides:
        raise RunError(
            f"run {view.name} ({view.id}) is finished: there is nothing to go on with",
            hint=f"to train on, change its config: mlcore resume {view.id} KEY=VALUE",
        )
    if view.status != "running" or takeover:
        return
    process = view.attempts[-1].process
    if process.alive() is None and _fell_silent(view, say):
        return
    raise RunBusyError(
        f"run {view.name} ({view.id}) is still running: pid {process.pid} on {process.host}",
        hint="stop it first, or take it over with --takeover",
    )


def _fell_silent(view: RunView, say: Callable[[str], None]) -> bool:
    """Watch another machine's run; clocks of two machines are never compared."""
    say(f"watching for {SILENCE:.0f} s whether {view.attempts[-1].process.host} still writes (--takeover skips this)")
    before = _sizes(view)
    deadline = time.monotonic() + SILENCE
    while time.monotonic() < deadline:
        time.sleep(1)
        if _sizes(view) != before:
            return False
    return True


def _sizes(view: RunView) -> list[tuple[str, int]]:
    return [(entry.key, entry.size) for entry in view.folder.list("journal")]
