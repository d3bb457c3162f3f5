"""Plugins as they come: really installed distributions, most of them broken in some way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from attrs import Factory, field, frozen
from attrs.validators import ge
from click.testing import CliRunner

from tunix_core import hookimpl
from tunix_core.cli import cli
from tunix_core.contributions import (
    COMMAND,
    EVALUATOR,
    TRAINER,
    CommandContribution,
    EvaluatorContribution,
)
from tunix_core.errors import UsageError
from tunix_core.plugins import Plugins

DISTRIBUTIONS = Path(__file__).parent / "samples" / "distributions"
HEALTHY = "acme-brevity,aardvark-listener"
BROKEN = {
    "acme-broken": ("failed_import", "ModuleNotFoundError: No module named 'acme_gpu'"),
    "acme-future": ("incompatible", "it needs tunix-core>=99, this is "),
    "acme-misspelt": (
        "invalid",
        "unknown hook 'tunix_evaluatorss', did you mean 'tunix_evaluators'?",
    ),
    "acme-twin": ("duplicate", "command 'greet' is provided by acme-brevity/greet already"),
}
HEAVY = (
    "flax",
    "jax",
    "matplotlib",
    "numpy",
    "optax",
    "orbax",
    "sqlite_utils",
    "starlette",
    "sympy",
    "tensorboardX",
    "tokenizers",
)
# Runs the command and then says, as its last line, which of the named modules were imported.
WATCHED = """
import json, sys
from tunix_core.cli import main
names, sys.argv[1:] = sys.argv[1].split(","), sys.argv[2:]
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
print(json.dumps([name for name in names if name in sys.modules]))
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory into which pip has installed every sample distribution."""
    root = tmp_path_factory.mktemp("plugins")
    # Building writes into the source tree, which is not ours to litter.
    sources = shutil.copytree(DISTRIBUTIONS, root / "sources")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--no-compile"]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--target", str(root / "site")]
        + [str(tree) for tree in sorted(sources.iterdir()) if tree.is_dir()],
        check=True,
    )
    return root / "site"


@pytest.fixture
def run(site: Path, tmp_path: Path) -> Run:
    """Runs a Python command line with the sample distributions installed."""

    def run(*arguments: str, plugins: str | None = None) -> subprocess.CompletedProcess[str]:
        chosen = {} if plugins is None else {"TUNIX_PLUGINS": plugins}
        kept = {k: v for k, v in os.environ.items() if not k.startswith("TUNIX_")}
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=kept | {"PYTHONPATH": str(site)} | chosen,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture
def tunix(run: Run) -> Run:
    """Runs ``tunix-rt`` with the sample distributions installed."""

    def tunix(*arguments: str, plugins: str | None = None) -> subprocess.CompletedProcess[str]:
        return run("-m", "tunix_core.cli", *arguments, plugins=plugins)

    return tunix


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


def test_every_plugin_has_a_status_and_the_broken_ones_their_cause(tunix: Run) -> None:
    done = tunix("plugins", "list", "--json", plugins="-acme-slow")
    assert done.returncode == 0
    records = {record["distribution"]: record for record in json.loads(done.stdout)}
    statuses = {name: records[name]["status"] for name in records if name.startswith("a")}
    assert statuses == {
        "aardvark-listener": "active",
        "acme-brevity": "active",
        "acme-rival": "active",
        "acme-slow": "blocked",
        **{name: status for name, (status, _) in BROKEN.items()},
    }
    for name, (_, cause) in BROKEN.items():
        assert records[name]["error"].startswith(cause)
        assert records[name]["contributions"] == []
    good = records["acme-brevity"]
    assert good["version"] == "1.0"
    assert good["error"] is None
    assert good["hooks"] == ["tunix_commands", "tunix_evaluators", "tunix_hookspecs"]
    assert "evaluator acme-brevity/brevity" in good["contributions"]
    assert good["load_ms"] > 0


def test_a_broken_plugin_costs_one_line_that_names_the_ways_out(tunix: Run) -> None:
    done = tunix("greet", "Ada", plugins="-aardvark-listener")
    assert (done.returncode, done.stdout) == (0, "hello Ada\n")
    lines = done.stderr.splitlines()
    assert len(lines) == len(BROKEN), done.stderr
    for line, (name, (status, cause)) in zip(lines, sorted(BROKEN.items()), strict=True):
        assert line.startswith(f"warning: plugin {name} 1.0 is not used ({status}): {cause}")
        assert f"--no-plugins={name}" in line
        assert f"pip uninstall {name}" in line


@pytest.mark.parametrize(("name", "cause"), [(n, c) for n, (_, c) in BROKEN.items()])
def test_asking_for_what_a_broken_plugin_provides_gives_the_cause(
    tunix: Run, name: str, cause: str
) -> None:
    done = tunix("eval", "run", "x", "--dataset", "y", "-e", f"{name}/twin")
    assert done.returncode == 2
    assert last_line(done.stderr).startswith("error: ")
    assert cause in last_line(done.stderr)


def test_a_bare_name_or_a_command_that_is_missing_lists_the_broken_plugins(tunix: Run) -> None:
    for arguments in (["eval", "run", "x", "--dataset", "y", "-e", "twin"], ["gpu"]):
        done = tunix(*arguments)
        assert done.returncode == 2
        for name, (_, cause) in BROKEN.items():
            assert name in last_line(done.stderr)
            assert cause in last_line(done.stderr)


def test_show_describes_offers_and_settings(tunix: Run) -> None:
    done = tunix("plugins", "show", "acme_brevity", plugins=HEALTHY)
    assert (done.returncode, done.stderr) == (0, "")
    assert "evaluator acme-brevity/brevity\n  Short answers score higher\n  most = 200" in (
        done.stdout
    )
    data = json.loads(tunix("plugins", "show", "brevity", "--json", plugins=HEALTHY).stdout)
    settings = {offer["name"]: offer["settings"] for offer in data["contributions"]}
    assert settings["acme-brevity/brevity"] == {"most": 200, "strict": False, "label": "brevity"}
    broken = tunix("plugins", "show", "acme-broken")
    assert broken.returncode == 0
    assert "acme-broken 1.0 failed_import: ModuleNotFoundError" in broken.stdout
    unknown = tunix("plugins", "show", "acme-nothing", plugins=HEALTHY)
    assert unknown.returncode == 2
    assert unknown.stderr.startswith("error: no plugin is called 'acme-nothing'")


def test_check_fails_exactly_when_something_is_broken(tunix: Run) -> None:
    well = tunix("plugins", "check", plugins=HEALTHY)
    assert (well.returncode, well.stdout, well.stderr) == (0, "", "all plugins are well\n")
    done = tunix("plugins", "check", "--json")
    assert done.returncode == 1
    problems = {row["what"]: row["problem"] for row in json.loads(done.stdout)}
    for name, (status, cause) in BROKEN.items():
        assert problems.pop(name).startswith(f"{status}: {cause}")
    # What is registered but cannot be imported is found as well.
    assert set(problems) == {"evaluator acme-rival/brevity", "evaluator acme-rival/soul-of-wit"}
    assert all("acme_rival_gone" in problem for problem in problems.values())
    assert tunix("plugins", "check", "acme-twin").returncode == 1
    assert tunix("plugins", "check", "acme-brevity").returncode == 0


def test_freeze_prints_requirements(tunix: Run) -> None:
    lines = tunix("plugins", "freeze").stdout.splitlines()
    assert lines == sorted(lines)
    assert {"acme-brevity==1.0", "acme-broken==1.0"} <= set(lines)
    assert any(line.startswith("tunix-core==") for line in lines)


def test_a_slow_plugin_is_named(tunix: Run) -> None:
    done = tunix("plugins", "list", plugins="acme-slow,acme-brevity")
    assert done.returncode == 0
    slow = [line for line in done.stderr.splitlines() if line.startswith("slow: ")]
    assert len(slow) == 1
    assert slow[0].startswith("slow: acme-slow takes ")


def test_no_plugins_leaves_only_the_core(tunix: Run) -> None:
    listed = tunix("--no-plugins", "plugins", "list", "--json")
    assert (listed.returncode, listed.stderr) == (0, "")
    statuses = {record["distribution"]: record["status"] for record in json.loads(listed.stdout)}
    assert statuses.pop("tunix-core") == "active"
    assert set(statuses.values()) == {"blocked"}
    greeted = tunix("--no-plugins", "greet", "Ada")
    assert greeted.returncode == 2
    assert last_line(greeted.stderr) == "Error: No such command 'greet'."


def test_plugins_are_blocked_by_distribution_entry_point_or_module(tunix: Run) -> None:
    broken = "--no-plugins=acme-broken,misspelt,acme_twin, Acme_Future"
    done = tunix(broken, "greet", "Ada")
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello Ada\n", "heard of Ada\n")
    # The name that a blocked plugin would have lost is free for another one.
    other = tunix("--no-plugins=acme-brevity", "plugins", "list", "--json")
    statuses = {record["distribution"]: record["status"] for record in json.loads(other.stdout)}
    assert (statuses["acme-brevity"], statuses["acme-twin"]) == ("blocked", "active")


def test_the_environment_allows_and_blocks(tunix: Run) -> None:
    def active(plugins: str) -> set[str]:
        done = tunix("plugins", "list", "--json", plugins=plugins)
        assert done.returncode == 0, done.stderr
        records = json.loads(done.stdout)
        return {r["distribution"] for r in records if r["status"] == "active"} - {"tunix-core"}

    assert active("acme-brevity") == {"acme-brevity"}
    assert active("acme_rival, brevity") == {"acme-rival", "acme-brevity"}
    assert active("acme-rival,acme-brevity,-brevity") == {"acme-rival"}
    assert active("") == set()
    assert "acme-brevity" not in active("-acme-brevity")
    assert "acme-rival" in active("-acme-brevity")


def test_an_unknown_plugin_name_is_an_error_with_the_closest_one(tunix: Run) -> None:
    expected = "error: no installed plugin is called 'acme-brevty' (did you mean 'acme-brevity'?)\n"
    for plugins in ("acme-brevty", "-acme-brevty"):
        done = tunix("plugins", "list", plugins=plugins)
        assert (done.returncode, done.stdout, done.stderr) == (2, "", expected)
    done = tunix("--no-plugins=acme-brevty", "plugins", "list")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", expected)


def test_version_loads_no_plugin(run: Run) -> None:
    watched = "acme_brevity,acme_slow,tunix_core.builtin,pluggy,tunix_jax,tunix_generators"
    done = run("-c", WATCHED, watched, "--version")
    assert done.stderr == ""
    version, imported = done.stdout.splitlines()
    assert version.startswith("tunix-rt ")
    assert json.loads(imported) == []


@pytest.mark.parametrize("arguments", [["--help"], ["plugins", "list"]])
def test_help_and_list_import_thin_modules_only(run: Run, arguments: list[str]) -> None:
    watched = ",".join((*HEAVY, "acme_brevity", "acme_brevity_work"))
    done = run("-c", WATCHED, watched, *arguments, plugins="-acme-slow")
    assert json.loads(last_line(done.stdout)) == ["acme_brevity"], done.stderr


def test_the_help_lists_commands_of_plugins(tunix: Run) -> None:
    done = tunix("--help", plugins=HEALTHY)
    assert (done.returncode, done.stderr) == (0, "")
    assert "greet     Greet somebody" in done.stdout


def test_a_command_that_fails_unexpectedly_shows_its_insides_only_when_asked(tunix: Run) -> None:
    done = tunix("greet", "nobody", plugins="acme-brevity")
    expected = "error: unexpected RuntimeError: there is nobody (run again with --debug)\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", expected)
    debugged = tunix("--debug", "greet", "nobody", plugins="acme-brevity")
    assert debugged.returncode == 1
    assert debugged.stderr.startswith("Traceback")
    assert debugged.stderr.endswith(expected)


def test_a_plugin_hears_of_anothers_hook_although_it_is_loaded_before(tunix: Run) -> None:
    done = tunix("greet", "Ada", plugins=HEALTHY)
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello Ada\n", "heard of Ada\n")
    # Without the one that has the hook, it is a hook like any unknown one.
    alone = tunix("plugins", "list", plugins="aardvark-listener")
    assert "(invalid): unknown hook 'acme_greeted'" in alone.stderr


def test_an_observer_that_fails_is_reported_and_carried_on_from(tunix: Run, tmp_path: Path) -> None:
    trace = {
        "prompt": "What is 1 + 1?",
        "steps": [{"i": 0, "type": "compute", "content": "1 + 1 = 2"}],
        "final_answer": "2",
    }
    (tmp_path / "one.jsonl").write_text(json.dumps(trace))
    assert tunix("traces", "import", "one.jsonl", plugins=HEALTHY).returncode == 0
    built = tunix("datasets", "build", "one", "v1", plugins=HEALTHY)
    assert built.returncode == 0
    reported = "tunix_dataset_built: RuntimeError: the listener is out of order"
    assert f"warning: aardvark-listener 1.0: {reported}" in built.stderr.splitlines()
    verified = tunix("datasets", "verify", "one-v1", plugins="")
    assert (verified.returncode, verified.stderr) == (0, "one-v1: 1 traces, hash as built\n")


@frozen
class Settings:
    most: int = field(default=200, validator=ge(1))
    strict: bool = False


def plugin(name: str, **hooks: Callable[..., object]) -> ModuleType:
    """A module with the given hooks."""
    module = ModuleType(name)
    for hook, function in hooks.items():
        setattr(module, hook, hookimpl(function))
    return module


def evaluators(*names: str) -> Callable[[], list[EvaluatorContribution]]:
    return lambda: [
        EvaluatorContribution(name=name, summary=name, factory=dict, config=Settings)
        for name in names
    ]


def command(name: str) -> Callable[[], list[CommandContribution]]:
    return lambda: [CommandContribution(name=name, summary=name, factory="nowhere:command")]


def test_a_bare_name_means_ours_then_the_only_one_then_nobodys() -> None:
    plugins = Plugins.of(
        plugin("acme", tunix_evaluators=evaluators("answer_correctness", "brevity", "wit")),
        plugin("rival", tunix_evaluators=evaluators("brevity")),
    )
    assert plugins.find(EVALUATOR, "answer_correctness").distribution == "tunix-core"
    assert plugins.find(EVALUATOR, "acme/answer_correctness").distribution == "acme"
    assert plugins.find(EVALUATOR, "wit").full_name == "acme/wit"
    assert plugins.find(EVALUATOR, "rival/brevity").full_name == "rival/brevity"
    with pytest.raises(UsageError) as ambiguous:
        plugins.find(EVALUATOR, "brevity")
    assert str(ambiguous.value) == (
        "evaluator 'brevity' is offered by several plugins (say which: acme/brevity, rival/brevity)"
    )
    with pytest.raises(UsageError, match="did you mean 'brevity'"):
        plugins.find(EVALUATOR, "brevty")
    with pytest.raises(UsageError, match="no trainer is called 'brevity'"):
        plugins.find(TRAINER, "brevity")


def test_a_command_shadows_neither_ours_nor_anothers() -> None:
    with pytest.raises(UsageError, match="'runs' is provided by tunix-core/runs already"):
        Plugins.of(plugin("acme", tunix_commands=command("runs")))
    with pytest.raises(UsageError, match="'greet' is provided by acme/greet already"):
        Plugins.of(
            plugin("acme", tunix_commands=command("greet")),
            plugin("rival", tunix_commands=command("greet")),
        )


def test_an_incomplete_installation_is_named_where_it_is_met() -> None:
    provided = Plugins.of(plugin("acme", tunix_commands=command("greet"))).find(COMMAND, "greet")
    with pytest.raises(UsageError, match="acme/greet cannot be used: nowhere:command: ModuleNot"):
        provided.factory()


@pytest.mark.parametrize(
    ("hooks", "reason"),
    [
        ({"tunix_evaluators": evaluators("twice", "twice")}, "evaluator acme/twice is offered"),
        ({"tunix_evaluators": evaluators("No Good")}, "tunix_evaluators failed: ValueError: name"),
        ({"tunix_evaluators": command("x")}, "tunix_evaluators returned a CommandContribution"),
        ({"tunix_evaluators": lambda: 3}, "tunix_evaluators failed: TypeError"),
        ({"tunix_run_started": lambda rnu: None}, "rnu"),
        ({"tunix_hookspecs": lambda: [SimpleNamespace()]}, "tunix_hookspecs failed: ValueError"),
        ({"tunix_hookspecs": lambda: 1 / 0}, "tunix_hookspecs failed: ZeroDivisionError"),
    ],
)
def test_an_invalid_plugin_is_refused_with_a_reason_on_one_line(
    hooks: dict[str, Callable[..., object]], reason: str
) -> None:
    with pytest.raises(UsageError) as refused:
        Plugins.of(plugin("acme", **hooks))
    assert str(refused.value).startswith("plugin acme: ")
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_observer_may_take_fewer_arguments_than_its_hook(
    capsys: pytest.CaptureFixture[str],
) -> None:
    heard: list[object] = []

    def everything(run_id: str, step: int, values: object, timings: object, folder: Path) -> None:
        heard.append((run_id, step, values, timings, folder.name))

    plugins = Plugins.of(
        plugin("all", tunix_run_step=everything),
        plugin("older", tunix_run_step=lambda run_id, step, values: heard.append((step, values))),
        plugin("fails", tunix_run_step=lambda step: 1 / 0),
        plugin("few", tunix_run_step=lambda step: heard.append(step)),
    )
    told = {"run_id": "r", "step": 3, "values": {"loss": 0.5}, "timings": {"seconds": 1.0}}
    plugins.observe("tunix_run_step", **told, folder=Path("runs/r"))
    assert sorted(heard, key=str) == [
        ("r", 3, {"loss": 0.5}, {"seconds": 1.0}, "r"),
        (3, {"loss": 0.5}),
        3,
    ]
    assert capsys.readouterr().err == (
        "warning: fails 0: tunix_run_step: ZeroDivisionError: division by zero\n"
    )


def test_settings_are_strict_and_every_problem_is_told_at_once() -> None:
    provided = Plugins.of(plugin("acme", tunix_evaluators=evaluators("brevity"))).find(
        EVALUATOR, "brevity"
    )
    assert provided.config() == Settings()
    assert provided.config({"most": 3}) == Settings(most=3)
    assert provided.config(Settings(strict=True)) == Settings(strict=True)
    with pytest.raises(UsageError) as refused:
        provided.config({"most": "3", "strict": 1, "stric": True})
    text = str(refused.value)
    assert text.startswith("plugin acme/brevity: ")
    assert text.endswith("(known: most, strict)")
    problems = text.removeprefix("plugin acme/brevity: ").removesuffix(" (known: most, strict)")
    assert sorted(problem.split(": ")[0] for problem in problems.split("; ")) == [
        "most",
        "stric",
        "strict",
    ]
    assert "most: expected an integer, got text" in problems
    with pytest.raises(UsageError, match="plugin acme/brevity: most: "):
        provided.config({"most": 0})
    with pytest.raises(UsageError, match="tunix-core/show_your_work has no settings"):
        Plugins.of().find(EVALUATOR, "show_your_work").config({"most": 3})


def test_show_describes_settings_that_have_no_default() -> None:
    @frozen
    class Nested:
        depth: int = 3

    @frozen
    class Demanding:
        key: str
        paths: list[str] = field(factory=list)
        copy: str = field(default=Factory(lambda self: self.key, takes_self=True))
        nested: Nested = Nested()

    contribution = EvaluatorContribution(name="x", summary="x", factory=dict, config=Demanding)
    shared = {"plugins": Plugins.of(plugin("acme", tunix_evaluators=lambda: [contribution]))}
    result = CliRunner().invoke(cli, ["plugins", "show", "acme", "--json"], obj=shared)
    assert result.exit_code == 0, result.output
    (offer,) = json.loads(result.stdout)["contributions"]
    assert offer["settings"] == {
        "key": "(required)",
        "paths": [],
        "copy": "(computed)",
        "nested": {"depth": 3},
    }
