"""Every YAML in conf composes, binds and builds; what is wrong is answered with the nearest that is right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import conf
from data.prompts import Asking, Renderer
from data.records import Survey
from data.survey_file import write_survey_file
from eval.answers import TextRequest
from eval.backends.api import OpenAICompatible
from eval.backends.wire import Wire
from launch.arms import ask
from launch.asked import Asked
from launch.build import build
from launch.cells import Cell
from launch.check import check_cells
from launch.cli import main
from launch.compose import Composer

FOLDER = Path(str(conf.__file__)).parent
MEMBERS = sorted(path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.glob("*/*.yaml"))
SERVED = ["recipe=none", "backend.base_url=http://localhost/v1"]
KEYS = [f"{name}_API_KEY" for name in ("OPENAI", "ANTHROPIC", "DEEPSEEK", "DASHSCOPE")]  # made-up ones, for the census
NEEDS = {
    "model/local": ["model.source=/some/model"],
    "survey/file": ["survey.blocks=['file:/some/survey.jsonl']"],
    "survey/imported": ["survey.blocks=['file:/some/survey.jsonl']"],
    "survey/goqa": ["survey.blocks=['file:/some/survey.jsonl']"],
    "survey/wvs7": ["survey.blocks=['file:/some/survey.jsonl']"],
    "engine/ddp": ["budget.batch_size=16"],
    "backend/vllm": ["backend.command=[sh]"],
    "prompt/native": [*SERVED, "model=gpt-4o", "backend=api"],
    **{f"backend/{name}": [*SERVED, "model=gpt-4o"] for name in ("api", "anthropic", "deepseek", "dashscope")},
    **{f"model/{name}": [*SERVED, "backend=api"] for name in ("gpt-4o", "claude", "deepseek-chat", "qwen-plus")},
    "judge/served": ["judge.model.source=api:mine"],
    "model/served": [*SERVED, "backend=api", "model.source=api:mine"],
}


@pytest.fixture(scope="module")
def composer() -> Iterator[Composer]:
    with Composer() as made:
        yield made


def compose_cells(composer: Composer, overrides: list[str], multirun: bool = False) -> Asked:
    asked = ask(composer, overrides, multirun)
    check_cells([Cell(Path(), config) for config in asked.cells], elsewhere=True)
    return asked


def test_every_config_is_counted() -> None:
    assert len(MEMBERS) == 106
    assert {path.name for path in FOLDER.glob("*.yaml")} == {"config.yaml", "dispatch.yaml"}


@pytest.mark.parametrize("member", MEMBERS)
def test_every_config_composes_binds_and_builds(
    composer: Composer, member: str, tiny_survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in KEYS:
        monkeypatch.setenv(name, "a key")
    write_survey_file(tiny_survey, tmp_path / "survey.jsonl")
    part, name = member.split("/")
    choice = f"audit=[{name}]" if part == "audit" else f"{part}={name}"
    needs = [need.replace("/some/survey.jsonl", str(tmp_path / "survey.jsonl")) for need in NEEDS.get(member, [])]
    asked = compose_cells(composer, [choice, *needs])
    assert asked.cells
    if part == "audit":
        assert list(asked.cells[0]["audit"]) == [name]


@pytest.mark.parametrize("member", [name for name in MEMBERS if not name.startswith("experiment/")])
def test_every_knob_of_a_part_says_what_it_does(member: str) -> None:
    """Each file begins with a comment: what the member is."""
    assert (FOLDER / f"{member}.yaml").read_text(encoding="utf-8").startswith("# ")


def test_audits_are_keyed_by_their_own_names(composer: Composer) -> None:
    for path in (FOLDER / "audit").glob("*.yaml"):
        assert list(yaml.safe_load(path.read_text(encoding="utf-8"))) == [path.stem]
    assert composer(["audit=[]"])["audit"] == {}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["recipe=mach"], "recipe has no member 'mach'; did you mean 'match'?"),
        (["recip=match"], "did you mean 'recipe'?"),
        (["budget.exmples=3"], "did you mean 'budget.examples'?"),
        (["recipe.learning_rat=1"], "did you mean 'recipe.learning_rate'?"),
        (["recipe.share=1"], "recipe=match has no knob 'recipe.share': it is one of recipe=replay"),
        (["inference.count=2"], "inference=none has no knob 'inference.count': it is one of inference=permutations"),
        (["parent=sft-full"], "neither an arm of this run nor a folder here. Known: base"),
        (["survey.split.sed=1"], "did you mean 'survey.split.seed'?"),
        (["audit=[first_tokn]"], "did you mean 'first_token'?"),
        (["experiment=quikstart"], "did you mean 'quickstart'?"),
        (["seed=0,1"], "add -m"),
        (["seed=-1"], "seed must be a whole number of at least 0, got -1"),
        (["seed=many"], "seed must be a whole number"),
        (["limit=0"], "limit must be"),
        (["foo"], "cannot read 'foo'"),
        (["model=local"], "model.source has no value"),
        (["experiment=quickstart", "recipe=dpo"], "recipe is set by every arm"),
        (["experiment=quickstart", "recipe.temprature=1"], "unknown key 'recipe.temprature'"),
        (["name=a/b"], "name must be a folder name"),
        (["hydra/launcher=jobli"], "hydra/launcher has no member 'jobli'; did you mean 'joblib'"),
        (["hydra/launcher=ray"], "hydra/launcher=ray is not installed: pip install hydra-ray-launcher"),
        (["survey.blocks=[wvs4]"], "did you mean 'wvs3'?"),
        (["survey.split.held_out_countries=[Norwegia]"], "Norwegia"),
        (["model=local", "model.source=/nowhere"], "is no folder here"),
        (["model=gpt-4o", "backend=api"], "cannot be trained; set recipe=none"),
    ],
)
def test_mistakes_get_one_line(
    arguments: list[str],
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--dry-run", *arguments]) == 2
    error = capsys.readouterr().err
    assert named in error
    assert len(error.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_misspelt_knobs_in_a_users_own_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "recipe").mkdir()
    path = tmp_path / "recipe" / "mine.yaml"
    path.write_text("_target_: train.recipes.match.Match\nlearning_rte: 1.0e-5\n")
    with (
        Composer([tmp_path]) as own,
        pytest.raises(ValueError, match=r"recipe\.learning_rte.*did you mean 'learning_rate'"),
    ):
        compose_cells(own, ["recipe=mine"])


def test_claude_is_not_asked_with_both_temperature_and_top_p(composer: Composer) -> None:
    """Claude Opus 4.1, Sonnet 4.5 and later refuse such a request (400)."""
    backend: OpenAICompatible = build(
        composer(["recipe=none", "model=claude", "backend=anthropic"])["backend"], "backend"
    )
    wire = Wire("claude", Renderer(Asking(style="native")), backend.top_logprobs, backend.extra or {})
    body = wire.text_body(TextRequest("[]"))
    assert body["temperature"] == 1.0
    assert "top_p" not in body


def test_values_of_the_wrong_kind_are_refused(composer: Composer) -> None:
    for override, message in (
        ("budget.examples=many", r"budget\.examples must be a whole number, got 'many'"),
        ("adapter.learning_rate_scale=-1", r"adapter\.learning_rate_scale must be positive"),
        ("engine.threads=0", r"engine\.threads must be auto or a whole number"),
        ("engine.processes=2", "kind single means one process"),
        ("tracker.mode=on", r"tracker\.mode must be"),
        ("budget.batch_size=7", "multiple"),
    ):
        with pytest.raises(ValueError, match=message):
            compose_cells(composer, [override])


def test_help_teaches_parts_and_knobs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--help"]) == 0
    shown = capsys.readouterr().out
    recipes = ", ".join(sorted(path.stem for path in (FOLDER / "recipe").glob("*.yaml")))
    for word in ("experiment=quickstart", recipes, "limit: null", "recipe.learning_rate", "--retry-failed"):
        assert word in shown
